"""A chart of a run as a figure for a paper: a vector or pixel file on white, with what was found as its caption.

save_figure(run, "effect", "effect.pdf")
"""

import re
import textwrap
from pathlib import Path

import altair as alt

from explorer.errors import ExplorerError
from explorer.report.run_charts import chart, source_table
from explorer.report.run_findings import findings
from explorer.runs.reader import Run

KINDS = ("svg", "pdf", "png")
"""What a figure's name may end with."""

LINE = 96
"""Characters of a line of the caption."""

PIXELS_PER_INCH = 300


def caption_of(run: Run, name: str) -> str:
    """What was found in the table behind a chart, with n, decoding length and interval; "" where nothing is said.

    Raises:
        ExplorerError: a table of the run is damaged.
    """
    table = source_table(name)
    said = [re.sub(r"[*]{2}", "", found.sentence) for found in findings(run) if found.table == table]
    return said[0].replace("\u00a0", " ") if said else ""


def save_figure(run: Run, name: str, file: str | Path) -> Path:
    """Write a chart with its caption.

    Args:
        run: the run.
        name: one of `charts(run)`.
        file: where to; its ending, one of `KINDS`, says what it becomes.

    Returns:
        The file.

    Raises:
        ExplorerError: there is no such chart, the ending is another one, the file cannot be written, or the library
            that writes these files is not installed.
    """
    path = Path(file).expanduser()
    if path.suffix.lower().removeprefix(".") not in KINDS:
        raise ExplorerError(f"A figure is a file that ends with .{', .'.join(KINDS)}, not “{path.name[:60]}”.")
    caption = alt.Title(
        text=textwrap.wrap(caption_of(run, name), LINE) or "",
        orient="bottom",
        anchor="start",
        align="left",
        fontSize=11,
        fontWeight="normal",
        offset=14,
    )
    drawn = chart(run, name).properties(title=caption, background="white")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(str(path), ppi=PIXELS_PER_INCH)
    except ImportError as missing:
        raise ExplorerError("Figures are written by vl-convert; pip install vl-convert-python.") from missing
    except OSError as problem:
        raise ExplorerError(f"{path} cannot be written: {problem.strerror or problem}.") from problem
    return path
