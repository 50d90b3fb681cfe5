"""What a page shows of a run before anybody chooses: the rows of the main ranking's method, the first of each choice.

shown = first_results(run)                       # of the main ranking, M2's activations into M1
rows = main_rows(run, "tax", "a", "b")           # of the first pair that the build file names
"""

from dataclasses import dataclass

import pandas as pd

from explorer.report.facts import fractions_of, main_suite, nearest
from explorer.report.ranking_names import default_fraction, methods_in, of_method
from explorer.report.results import Results, patched_rankings, results_of
from explorer.runs.reader import Run


@dataclass(frozen=True)
class FirstResults:
    """What patching the main ranking's neurons did, at what is shown first.

    Attributes:
        results: of that ranking.
        suite: the prompts whose numbers are shown first.
        fraction: of all neurons, as measured on that suite.
    """

    results: Results
    suite: str
    fraction: float


def first_results(run: Run, direction: str = "restore") -> FirstResults | None:
    """The results of the main ranking in a direction; None where the run patched nothing in it.

    Raises:
        ExplorerError: a table of the run is damaged.
    """
    ranking = next(iter(patched_rankings(run, direction)), "")
    if not ranking:
        return None
    results = results_of(run, ranking, direction)
    suite = main_suite(run.manifest, results.effect, results.answers)
    wanted = default_fraction(ranking, run.manifest["rankings"])
    return FirstResults(results, suite, nearest(fractions_of(results.effect, suite), wanted))


def holds(run: Run, *tables: str) -> bool:
    """Whether the run has every one of these tables, each with anything in it."""
    return set(tables) <= set(run.tables) and not any(run.whole_table(name).empty for name in tables)


def main_rows(run: Run, table: str, *columns: str) -> pd.DataFrame:
    """The rows of the main ranking's method, or of the first method where it has none.

    Args:
        run: the run; it holds the table.
        table: of a study.
        columns: of these, only the rows of the first value, narrowed from left to right.
    """
    rows = run.whole_table(table)
    if "method" in rows:
        rows = of_method(rows, methods_in(run, rows)[0])
    for column in columns:
        rows = rows[rows[column] == rows[column].iloc[0]]
    return rows
