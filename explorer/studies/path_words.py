"""The study of paths in words (tables `paths`, `paths_kept`)."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from explorer.charts.labels import interval, percent, rate, signed, suite_label
from explorer.studies.compared_sets import RANDOM, by_words
from explorer.studies.statistics import Estimate

Row = Mapping[Hashable, Any]

PART_WORDS = {
    "direct": "directly",
    "attention": "through attention",
    "mlps": "through later MLPs",
    "patterns": "patterns",
    "values": "values",
}


def set_label(name: str) -> str:
    """A compared set in words."""
    return "Random neurons of the same layers" if name == RANDOM else f"Top neurons by {by_words(name)}"


def paths_sentence(parts: pd.DataFrame, kept: pd.DataFrame) -> str:
    """By which paths the first set acts, what is left without one, and what random neurons do.

    Args:
        parts: the run's table `paths`.
        kept: the run's table `paths_kept`.
    """
    name = str(parts["set"].iloc[0])
    mine = _by_name(parts[parts["set"] == name], "part")
    first = mine["whole"]
    whole = Estimate.of(first, "margin")
    size = f"the top {percent(first['fraction'])} by {by_words(name)} ({int(first['k']):,} neurons)"
    where = f"{suite_label(first['suite'])}, n = {int(first['n']):,}"
    control = _control(parts)
    if not whole.sign:
        return (
            f"Patching {size} does not distinguishably change the refusal margin of M1's first token "
            f"({_logits(whole)}), so no shares are given; {where}.{control}"
        )
    verb = "raises" if whole.sign > 0 else "lowers"
    shares = {part: Estimate.of(mine[part], "share") for part in ("direct", "attention", "mlps")}
    said = ", ".join(f"**{rate(e.value)}** ({interval(e.low, e.high)}) {PART_WORDS[p]}" for p, e in shares.items())
    inside = " and ".join(
        f"{rate(mine[part]['share'])} by {PART_WORDS[part]} ({_short(part)})" for part in ("patterns", "values")
    )
    return (
        f"Patching {size} {verb} the refusal margin of M1's first token by {_logits(whole)}: {said}; of what attention "
        f"does, {inside}. {_largest(shares)} {_refusals(kept, name)} {where}.{control}"
    )


def _largest(shares: dict[str, Estimate]) -> str:
    """Which part is the largest, where intervals tell."""
    ranked = sorted(shares, key=lambda part: -shares[part].value)
    first, second = shares[ranked[0]], shares[ranked[1]]
    if first.low > second.high:
        return (
            f"Most of it acts {PART_WORDS[ranked[0]]}."
            if first.low > 0.5
            else f"The largest part acts {PART_WORDS[ranked[0]]}."
        )
    return "The intervals of the largest parts overlap, so none stands out."


def _refusals(kept: pd.DataFrame, name: str) -> str:
    """Refusals with attention, MLPs or both kept at M1's during the whole answer."""
    rows = _by_name(kept[kept["set"] == name], "kept")
    free = rows["nothing"]

    def said(way: str) -> str:
        row = rows[way]
        sure = "" if Estimate.of(row, "refusal_change").sign else ", not distinguishable from that"
        return f"{rate(row['refusal'])} ({interval(row['refusal_low'], row['refusal_high'])}{sure})"

    return (
        f"Of its answers of up to {int(free['max_new_tokens'])} tokens, **{rate(free['refusal'])}** "
        f"({interval(free['refusal_low'], free['refusal_high'])}) refuse; with attention kept at M1's "
        f"{said('attention')}, with the other MLP neurons kept {said('mlps')}, with all kept {said('everything')};"
    )


def _control(parts: pd.DataFrame) -> str:
    random = _by_name(parts[parts["set"] == RANDOM], "part")
    if not random:
        return ""
    whole = Estimate.of(random["whole"], "margin")
    sure = "" if whole.sign else ", not distinguishable from 0"
    return f" Random neurons of the same layers change it by {_logits(whole)}{sure}."


def _short(part: str) -> str:
    return "QK" if part == "patterns" else "OV"


def _by_name(rows: pd.DataFrame, column: str) -> dict[str, Row]:
    return {str(row[column]): row for row in rows.to_dict("records")}


def _logits(found: Estimate) -> str:
    value, low, high = (signed(x, 2) for x in (found.value, found.low, found.high))
    return f"**{value}** logits ({low} to {high})"
