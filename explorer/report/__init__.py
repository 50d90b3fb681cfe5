"""Words, frames and charts of a run, for pages and for Python users. Knows no Streamlit and no torch.

    run = explorer.open_run("cache/demo")
    for finding in run.findings():                  # or explorer.report.findings(run)
        print(finding)
    run.chart("effect")                             # an Altair chart; run.charts() lists the names

Names are imported on first use: a page that shows none of these charts does not pay for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.report.run import ReportedRun, open_run
    from explorer.report.run_charts import chart, charts
    from explorer.report.run_findings import Finding, findings

_HOME = {
    "Finding": "explorer.report.run_findings",
    "ReportedRun": "explorer.report.run",
    "chart": "explorer.report.run_charts",
    "charts": "explorer.report.run_charts",
    "findings": "explorer.report.run_findings",
    "open_run": "explorer.report.run",
}
__all__ = ["Finding", "ReportedRun", "chart", "charts", "findings", "open_run"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'explorer.report' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
