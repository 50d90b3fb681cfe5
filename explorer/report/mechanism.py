"""How the neurons act, in one sentence out of what the studies of the mechanism found.

answer_sentence(run)      # "The top 1 % by attribution act mostly by writing …"
"""

import pandas as pd

from explorer.charts.labels import interval, percent, rate
from explorer.report.first_choices import holds
from explorer.runs.reader import Run
from explorer.studies.compared_sets import by_words
from explorer.studies.depth_words import how_deep
from explorer.studies.direction_words import by_direction, how_carried
from explorer.studies.path_words import PART_WORDS
from explorer.studies.statistics import Estimate

_PATHS = {
    "direct": "by writing straight to the logits of the next token",
    "attention": "through the attention of later layers",
    "mlps": "through the MLPs of later layers",
}
_DEPTHS = {
    "shallow": "in the prompt and the answer's first tokens, hardly behind them (safety is shallow)",
    "either": "in the answer's beginning and behind it alike",
    "deep": "over the whole of the answer, not only where it begins",
}
_CARRIED = {
    "wholly": "along the refusal direction, without which nothing distinguishable is left",
    "partly": "along the refusal direction in part",
    "not": "not along the refusal direction",
    "unsure": "whether along the refusal direction cannot be told",
}


def answer_sentence(run: Run) -> str:
    """How the first compared set acts: by which path, where in the text, along which direction; "" without a study.

    Each part says what its study's intervals tell, and that they tell nothing where they do.

    Args:
        run: the run.

    Raises:
        ExplorerError: a table of the run is damaged.
    """
    said, sizes = [], []
    if holds(run, "paths"):
        table = run.whole_table("paths")
        rows = table[table["set"] == table["set"].iloc[0]].set_index("part")
        said.append(_path(rows))
        sizes.append(rows.iloc[0])
    if holds(run, "depth"):
        table = run.whole_table("depth")
        patched = table[table["set"] != ""]
        rows = patched[(patched["set"] == patched["set"].iloc[0]) & (patched["opening"] == "")]
        kind = how_deep(rows)
        said.append(_DEPTHS[kind] if kind else "nowhere in the text distinguishably")
        sizes.append(rows.iloc[0])
    if holds(run, "refusal_direction"):
        table = run.whole_table("refusal_direction")
        rows_by = by_direction(table, str(table["ranking"].iloc[0]))
        kind = how_carried(rows_by)
        said.append(_CARRIED[kind] if kind else "along no direction that can be told")
        sizes.append(table.iloc[0])
    if not said:
        return ""
    first = sizes[0]
    name = str(first["ranking"] if "ranking" in first else first["set"])
    n = sorted({int(row["n"]) for row in sizes})
    count = f"n = {n[0]:,}" if len(n) == 1 else f"n = {n[0]:,} to {n[-1]:,}"
    return (
        f"The top {percent(first['fraction'])} by {by_words(name)} act **{said[0]}**"
        + "".join(f"; **{part}**" for part in said[1:])
        + f" ({count}; by 95 % intervals; each part below has its control)."
    )


def _path(rows: pd.DataFrame) -> str:
    """The path that most of the effect takes, or all three where none stands out."""
    if not Estimate.of(rows.loc[["whole"]].iloc[0], "margin").sign:
        return "on the first token not distinguishably"
    shares = {part: Estimate.of(rows.loc[[part]].iloc[0], "share") for part in _PATHS}
    largest, second = sorted(shares, key=lambda part: -shares[part].value)[:2]
    if shares[largest].low > shares[second].high:
        most = "mostly " if shares[largest].low > 0.5 else "more than otherwise "
        found = shares[largest]
        return f"{most}{_PATHS[largest]} ({rate(found.value)}, {interval(found.low, found.high)})"
    return "by no single path: " + ", ".join(f"{rate(e.value)} {PART_WORDS[part]}" for part, e in shares.items())
