"""A run that can say what it found and draw it: what `explorer.open_run` gives.

The run on disk (`runs.reader.Run`) lies below and knows neither sentences nor charts.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from explorer.runs import reader
from explorer.runs.reader import Run

if TYPE_CHECKING:
    from explorer.report.run_charts import Chart
    from explorer.report.run_findings import Finding


class ReportedRun(Run):
    """A finished run on disk, with its findings and charts."""

    # pandas and Altair take longer to import than a run to open, so they wait until something is asked for.

    def findings(self) -> "list[Finding]":
        """What each study of the run found, in the sentences of the pages; see `report.run_findings.findings`."""
        from explorer.report.run_findings import findings

        return findings(self)

    def charts(self) -> list[str]:
        """The names of the charts that the run holds the numbers of."""
        from explorer.report.run_charts import charts

        return charts(self)

    def chart(self, name: str) -> "Chart":
        """One chart of the run; see `report.run_charts.chart`.

        Raises:
            ExplorerError: there is no such chart, the run lacks what it needs, or there is nothing to draw.
        """
        from explorer.report.run_charts import chart

        return chart(self, name)

    def figure(self, name: str, file: str | Path) -> Path:
        """Write one chart as SVG, PDF or PNG, on white, with what was found as its caption; see `report.figures`.

        Raises:
            ExplorerError: there is no such chart, or the file cannot be written.
        """
        from explorer.report.figures import save_figure

        return save_figure(self, name, file)


def open_run(path: str | Path) -> ReportedRun:
    """Open the run in a folder, see `runs.reader.open_run`.

    Args:
        path: the folder; a relative one is looked for from here, then from the project.

    Raises:
        ExplorerError: there is no run, it is damaged, or it was written by another version.
    """
    found = reader.open_run(path)
    return ReportedRun(found.path, found.manifest)
