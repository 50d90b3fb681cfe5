"""Sentences about the effect of patching; those of a study are in its file (`explorer.studies`)."""

import math
import re
from collections.abc import Sequence

import pandas as pd

from explorer.charts.labels import interval, percent, rate, suite_label
from explorer.report import claims
from explorer.report.by import UNSAID, By
from explorer.studies.words import score_words

BOTH_SIDES = ("cost", "reward")
"""What an alignment tax sets against each other: safety and helpfulness."""

BOTH = "cost_and_reward"
"""The choice of `BOTH_SIDES` together."""


def kept_scores(answers: pd.DataFrame) -> list[str]:
    """Of cost and reward, what a table of answers holds; older runs hold no reward."""
    return [score for score in BOTH_SIDES if score in answers]


def tax_choices(scores: Sequence[str]) -> list[str]:
    """What the alignment tax can be measured by: cost and reward together first, where both are known."""
    return [*([BOTH] if set(BOTH_SIDES) <= set(scores) else []), *scores]


def scores_in(frame: pd.DataFrame, prefix: str = "") -> list[str]:
    """The scores that a table has intervals for."""
    names = [
        c.removesuffix("_low").removeprefix(prefix)
        for c in map(str, frame)
        if c.endswith("_low") and c.startswith(prefix)
    ]
    plain = [n for n in names if prefix or not n.startswith(("effect_", "above_random_"))]
    return [n for n in plain if frame[f"{prefix}{n}"].notna().any()]


def causal_sentence(
    effect: pd.DataFrame,
    restoring: pd.DataFrame | None,
    suite: str,
    score: str,
    fraction: float,
    by: By = UNSAID,
) -> str:
    """What the top-ranked neurons of one fraction restore or break by refusals and cost, and the fraction that does so
    with 90 %.

    A score beside these two is told of first.
    """
    parts = [] if score in claims.MEASURES else [_own_sentence(effect, suite, score, fraction, by)]
    parts.append(claims.effect_sentence(effect, suite, fraction, by))
    if restoring is not None:
        at = restoring[restoring["suite"] == suite]
        for name in dict.fromkeys([score, *claims.MEASURES]):
            parts += [restoring_words(row, name, by) for _, row in at[at["score"] == name].iterrows()]
    return " ".join(part for part in parts if part)


def _own_sentence(effect: pd.DataFrame, suite: str, score: str, fraction: float, by: By) -> str:
    """What is restored or broken of a score that is none of the two that claims rest on."""
    rows = effect[(effect["suite"] == suite) & (effect["set"] == "safety")]
    row = rows[(rows["fraction"] - fraction).abs() < 1e-9].iloc[0]
    found = claims.estimate_of(row, f"effect_{score}")
    if found is None or not found.known:
        return (
            f"On {suite_label(suite)} the two models' {score_words(score)} are not distinguishable, so no share of a "
            "gap can be given."
        )
    return (
        f"On {suite_label(suite)}{by.aside} the top {percent(fraction)} of the neurons {by.verb} "
        f"**{rate(found.value)}** of the gap in {score_words(score)} between M1 and M2 (95 % interval "
        f"{interval(found.low, found.high)}; {claims.scope_of(row)})."
    )


def restoring_words(row: pd.Series, score: str, by: By = UNSAID) -> str:
    """The fraction that restores or breaks the paper's share of the gap in a score, or that it is not reached."""
    if pd.isna(row["fraction"]):
        return ""
    largest, gap = percent(row["largest"]), f"{percent(row['share'])} of the gap in {score_words(score)} is"
    if math.isinf(row["fraction"]):
        return f"{gap} not reached with up to {largest} of the neurons (n = {int(row['n']):,})."
    high = f"more than {largest}" if math.isinf(row["fraction_high"]) else percent(row["fraction_high"])
    low = f"more than {largest}" if math.isinf(row["fraction_low"]) else percent(row["fraction_low"])
    return (
        f"{gap} {by.done} by **{percent(row['fraction'])}** of the neurons (95 % interval {low} to {high}, n = "
        f"{int(row['n']):,})."
    )


_ENDS = re.compile(r"(?<=\.)\s+(?=[A-Z*“])")
"""Where a sentence of a finding ends and the next begins."""

_SHOWN = 240
"""So many characters of a finding are shown at once, to the end of their sentence."""


def first_sentences(text: str) -> tuple[str, str]:
    """The first sentences of a finding, at least `_SHOWN` characters of it, and what follows them; "" for nothing."""
    for end in _ENDS.finditer(text):
        first = text[: end.start()]
        whole = all(first.count(one) == first.count(other) for one, other in ("()", "[]", "“”"))
        if whole and len(first) >= _SHOWN:
            return first, text[end.end() :]
    return text, ""
