"""Execute a notebook without Jupyter, and write what its cells print into it.

python -m tests.notebook docs/quickstart.ipynb
"""

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from explorer.paths import PROJECT

MODEL = "model"
"""The tag of cells that load models."""


def executed(notebook: dict, *, models: bool) -> Iterator[tuple[dict, str]]:
    """Run the code cells in their order, in the project's folder; each with what it printed.

    Args:
        notebook: the parsed file.
        models: whether cells that load models are run as well.
    """
    names: dict[str, object] = {}
    before = Path.cwd()
    os.chdir(PROJECT)
    try:
        for cell in notebook["cells"]:
            if cell["cell_type"] != "code" or (MODEL in cell["metadata"].get("tags", ()) and not models):
                continue
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
            yield cell, out.getvalue()
    finally:
        os.chdir(before)


def main(file: Path) -> None:
    """Write the outputs into the file."""
    notebook = json.loads(file.read_text())
    for number, (cell, text) in enumerate(executed(notebook, models=True), start=1):
        cell["execution_count"] = number
        lines = text.splitlines(keepends=True)
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []
    file.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
