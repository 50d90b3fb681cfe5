"""Charts of a run as files for papers."""

from pathlib import Path

import pytest

from explorer.errors import ExplorerError
from explorer.report.run import open_run

pytest.importorskip("vl_convert")
DEMO = "cache/demo"


@pytest.mark.parametrize(("end", "begins"), [("svg", b"<svg"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_a_chart_becomes_a_file_with_its_caption(tmp_path: Path, end, begins):
    file = open_run(DEMO).figure("effect", tmp_path / "new" / f"effect.{end}")
    content = file.read_bytes()
    assert content.startswith(begins)
    if end == "svg":
        assert b"n = " in content
        assert b"95" in content


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ExplorerError, match=r"\.svg, \.pdf, \.png, not “effect\.docx”"):
        open_run(DEMO).figure("effect", tmp_path / "effect.docx")


def test_a_chart_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ExplorerError, match="no chart “effects”"):
        open_run(DEMO).figure("effects", tmp_path / "effect.svg")
