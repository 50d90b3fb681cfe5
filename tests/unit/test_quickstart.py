"""The notebook runs, and prints where it has kept prints; the documentation's menu names files that there are."""

import json
import re

import pytest

from explorer.models import embedded
from explorer.paths import PROJECT
from tests.notebook import MODEL, executed

NOTEBOOK = PROJECT / "docs" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def notebook() -> dict:
    return json.loads(NOTEBOOK.read_text())


def kept(cell: dict) -> str:
    return "".join("".join(out["text"]) for out in cell["outputs"])


def test_the_cells_that_read_the_run_run_and_print(notebook) -> None:
    ran = list(executed(notebook, models=False))
    assert len(ran) >= 5
    for cell, text in ran:  # the numbers are the run's, which is built anew now and then
        assert text.count("\n") == kept(cell).count("\n"), cell["id"]


def test_the_notebook_is_a_whole_one(notebook) -> None:
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert sum(MODEL in cell["metadata"].get("tags", ()) for cell in notebook["cells"]) == 1
    assert "/home" not in NOTEBOOK.read_text()


@pytest.mark.slow
@pytest.mark.skipif(not embedded.available(), reason="the embedded model is not installed")
def test_the_cell_that_patches_says_what_is_kept(notebook) -> None:
    cell, text = list(executed(notebook, models=True))[-1]
    assert MODEL in cell["metadata"]["tags"]
    assert [line.split(":")[0].strip() for line in text.splitlines()] == ["unpatched", "patched", "random", "aligned"]


def test_the_menu_of_the_documentation_names_files_that_there_are() -> None:
    menu = (PROJECT / "mkdocs.yml").read_text().partition("nav:")[2]
    files = re.findall(r": ([a-z_]+\.md)", menu)
    assert len(files) >= 10
    assert [name for name in files if not (PROJECT / "docs" / name).is_file()] == []
    assert {file.name for file in (PROJECT / "docs").glob("*.md")} == set(files)
