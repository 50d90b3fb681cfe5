"""The columns that tables of older runs lack: which ranking's sets were patched, and how that ranking was computed.

A run names one ranking of change scores, "safety", where it says nothing else; `with_columns` writes that down, so that
every reader sees tables of one form.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MAIN = "safety"
"""The ranking that a run patched where it says nothing else."""

BY_CHANGE = "contrast"
"""The method of a ranking whose metadata names none: the paper's change score."""

BY_RANKING = (
    *(name + suffix for name in ("answers", "effect", "restoring", "judges") for suffix in ("", "_break")),
    *("safeguard", "capability"),
)
"""Tables whose rows are of one ranking's sets each, by the column `ranking`."""

BY_METHOD: Mapping[str, str] = {
    "transfer": "source",
    "transfer_answers": "source",
    "categories": "",
    "categories_answers": "",
    "tax": "a",
    "shared_neurons": "a",
    "ablation": "a",
    "seeds": "a",
    "identification": "",
    "safeguard": "",
    "capability": "",
    "series": "",
}
"""Tables of studies, which may be made with rankings of several methods, and the column that names a ranking in each
("" for none). Their column `method` says how the rankings of a row were computed."""


def method_of(about: Mapping[str, Any]) -> str:
    """How a ranking was computed ("contrast", "attribution", …), by what the manifest says of it."""
    return str((about.get("meta") or {}).get("method") or BY_CHANGE)


def with_columns(name: str, table: "pd.DataFrame", rankings: Mapping[str, Any] | None = None) -> "pd.DataFrame":
    """A table of a run with the columns `ranking` and `method`, where it should have them and an older run has not.

    Args:
        name: of the table.
        table: as the run holds it.
        rankings: what the run's manifest says of each ranking.

    Returns:
        The same table; or, of `BY_RANKING`, with ranking "safety" ("" for answers that nothing is patched in); of
        `BY_METHOD`, with the method of the rankings; `identification` with the ranking that the others are compared
        with, as reference.
    """
    if name in BY_RANKING and "ranking" not in table:
        ranking: Any = MAIN
        if "column" in table:
            ranking = table["column"].eq("patched").map({True: MAIN, False: ""})
        columns = list(table.columns)
        place = next((columns.index(after) for after in ("set", "score") if after in columns), 0)
        table = table.copy(deep=False)
        table.insert(place, "ranking", ranking)
    if name == "identification" and "reference" not in table:
        table = table.assign(reference=MAIN)
    if name in BY_METHOD and "method" not in table:
        names = BY_METHOD[name]
        known = {ranking: method_of(about) for ranking, about in (rankings or {}).items()}
        methods = table[names].map(known).fillna(BY_CHANGE) if names in table else BY_CHANGE
        table = table.assign(method=methods)
    return table
