"""What the study of the refusal direction found, in words computed from its table."""

import pandas as pd

from explorer.charts.labels import interval, percent, rate, suite_label
from explorer.studies.direction_tables import HALVES, M2, NONE, REFUSAL
from explorer.studies.statistics import Estimate
from explorer.studies.words import method_words

MOST = 0.5
"""The share of an effect that must surely be left for it not to be carried."""


def direction_sentence(table: pd.DataFrame) -> str:
    """Whether the effect of patching is carried by the refusal direction.

    Args:
        table: the run's table `refusal_direction`.
    """
    first = table.iloc[0]
    patched, aligned = (by_direction(table, name) for name in (str(first["ranking"]), M2))
    asked, tokens = suite_label(first["suite"]), int(first["max_new_tokens"])
    n = f"{asked}, n = {int(first['n']):,}, answers of up to {tokens} tokens"
    of = f"the top {percent(first['fraction'])} by {method_words(str(first['ranking']))}"
    text = (
        f"{carried_words(patched)} With {of} patched, refusals go from {rate(patched[NONE]['refusal'])} to "
        f"{_measured(patched[REFUSAL])} when it is projected out at every layer and position, and to "
        f"{_measured(patched[HALVES])} with a direction of random halves of the same prompts; "
        f"{rate(patched[REFUSAL]['degenerate'])} of the answers without it are degenerate. "
        f"M2 itself goes from {rate(aligned[NONE]['refusal'])} to {_measured(aligned[REFUSAL])}, and to "
        f"{_measured(aligned[HALVES])} ({n}; 95 % intervals; the direction is M2's after block {int(first['layer'])}, "
        "chosen on training prompts)."
    )
    return text


def how_carried(rows: "dict[str, pd.Series]") -> str:
    """Whether the refusal direction carries the effect, in a word: "wholly", "partly", "not", or "unsure" where the
    intervals do not tell; "" where there is no effect to be carried.

    Args:
        rows: of one patched set, by what is projected out.
    """
    beyond, left = Estimate.of(rows[REFUSAL], "refusal_beyond"), Estimate.of(rows[REFUSAL], "remains")
    if not left.known:
        return ""
    if beyond.sign >= 0:
        return "not" if left.low > MOST else "unsure"
    return "wholly" if left.sign <= 0 else "partly"


def carried_words(rows: "dict[str, pd.Series]") -> str:
    """The answer to the question, by what is left and by how much more is lost than with a control.

    Args:
        rows: of one patched set, by what is projected out.
    """
    left = Estimate.of(rows[REFUSAL], "remains")
    kind = how_carried(rows)
    if not kind:
        return "Patching adds no distinguishable share of refusals here, so there is no effect to be carried."
    share = f"{rate(left.value)} of it is left (95 % interval {interval(left.low, left.high)})"
    control = "and a control direction takes no distinguishably smaller share"
    return {
        "not": f"The effect of patching **is not carried by the refusal direction**: {share}, {control}.",
        "unsure": f"**It cannot be told** whether the refusal direction carries the effect of patching: {share}, "
        f"{control}.",
        "wholly": f"The effect of patching **is carried by the refusal direction**: {share}, not distinguishable from "
        "none.",
        "partly": f"The effect of patching is carried by the refusal direction **in part**: {share}.",
    }[kind]


def by_direction(table: pd.DataFrame, patched: str) -> "dict[str, pd.Series]":
    """The rows of one patched model, by what is projected out."""
    mine = table[table["patched"] == patched]
    return {str(row["direction"]): row for _, row in mine.iterrows()}


def _measured(row: pd.Series) -> str:
    return f"**{rate(row['refusal'])}** ({interval(row['refusal_low'], row['refusal_high'])})"
