"""One line on how a study comes out by another ranking, so that nobody has to switch to learn that the two differ.

Each takes the rows that are shown and those of the other method, and says both sizes where they differ. "" where there
is nothing to compare.
"""

from collections.abc import Callable

import pandas as pd

from explorer.charts.labels import interval, percent, rate, suite_label
from explorer.report.ranking_names import compared
from explorer.studies.safeguard import safeguard_accuracy, safeguard_sentence
from explorer.studies.series import restored_words
from explorer.studies.statistics import Estimate
from explorer.studies.tax import tax_sentence
from explorer.studies.transfer import transfer_of
from explorer.studies.words import mean_of, method_words, score_words, spoken

Rows = tuple[str, pd.DataFrame]
"""A method, and the rows of its rankings."""


def transfer_beside(shown: Rows, other: Rows, score: str) -> str:
    """How much neurons of the other ranking restore on their own prompts and on others.

    Args:
        shown, other: rows of `transfer` or `categories`.
        score: whose gap is restored.
    """
    (first, mine), (second, theirs) = shown, other
    column = f"effect_{score}"
    if column not in theirs or theirs.empty:
        return spoken(second, f"The run holds no {score_words(score)} here.")
    text = spoken(second, transfer_of(theirs, score))
    means = [mean_of(_own(rows).dropna(subset=[column]), column) for rows in (mine, theirs)]
    sizes = " and ".join(f"{percent(rows['fraction'].iloc[0])} by {method_words(m)}" for m, rows in (shown, other))
    verdict = compared(means[0], means[1], (first, second), f"restored on the prompts themselves ({sizes})")
    return f"{text} {verdict}".strip()


def _own(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["source"] == rows["own"]]


def tax_beside(shown: Rows, other: Rows, score: str, label: Callable[[str], str]) -> str:
    """What the swap changes at the neurons that the other ranking's top sets share.

    Args:
        shown: rows of `tax`, of one pair of models.
        other: rows of the other method; of the same models, where there are any.
        score: what changes.
        label: the aligned model that a ranking is of, in words.
    """
    (first, mine), (second, theirs) = shown, other
    pairs = {tuple(sorted((label(str(r["a"])), label(str(r["b"]))))) for r in mine.to_dict("records")}
    theirs = theirs[
        [tuple(sorted((label(str(r["a"])), label(str(r["b"]))))) in pairs for r in theirs.to_dict("records")]
    ]
    if theirs.empty:
        names = " and ".join(next(iter(pairs), ()))
        return f"The run did no such swap between {names} by {method_words(second)}."
    size = theirs["fraction"].iloc[0]
    theirs = theirs[theirs["fraction"] == size]
    text = tax_sentence(theirs, score, label)
    if not text:
        return ""
    k, fraction = int(theirs["k"].iloc[0]), percent(size)
    lead = f"At the {k:,} neurons that the top {fraction} of both share, {text}"
    return f"{spoken(second, lead)} {_parted(mine, theirs, score, label, (first, second))}".strip()


def _models(rows: pd.DataFrame, label: Callable[[str], str]) -> list[tuple[str, ...]]:
    """The two models of each row, in one order whichever was named first."""
    return [tuple(sorted((label(str(a)), label(str(b))))) for a, b in zip(rows["a"], rows["b"], strict=True)]


def _parted(
    mine: pd.DataFrame, theirs: pd.DataFrame, score: str, label: Callable[[str], str], methods: tuple[str, str]
) -> str:
    """In which of the changes, of the same models and prompts, the two rankings part."""
    changes = []
    for rows in (mine, theirs):
        rows = rows[(rows["set"] == "shared") & (rows["score"] == score)]
        keys = [(label(str(r["into"])), label(str(r["activations_of"])), r["suite"]) for r in rows.to_dict("records")]
        changes.append(dict(zip(keys, _estimates(rows, "delta"), strict=True)))
    both = [key for key in changes[0] if key in changes[1]]
    if not both:
        return ""
    names = " and ".join(map(method_words, methods))
    apart = [key for key in both if _apart(changes[0][key], changes[1][key])]
    if not apart:
        of = "this change" if len(both) == 1 else f"any of these {len(both)} changes"
        return f"In {of}, {names} are not distinguishable."
    where = "; ".join(f"{out_of} into {into} on {suite_label(suite)}" for into, out_of, suite in apart)
    return f"By {names} {len(apart)} of {len(both)} changes differ distinguishably: {where}."


def _estimates(rows: pd.DataFrame, column: str) -> list[Estimate]:
    cells = zip(rows[column], rows[f"{column}_low"], rows[f"{column}_high"], strict=True)
    return [Estimate(*map(float, values)) for values in cells]


def _apart(first: Estimate, second: Estimate) -> bool:
    return first.low > second.high or second.low > first.high


def safeguard_beside(shown: Rows, other: Rows, k: int) -> str:
    """How well the other ranking's neurons foresee harm, as many as are shown or as near to it as was measured."""
    (first, mine), (second, theirs) = shown, other
    if theirs.empty:
        return ""
    size = int(min(theirs["k"].unique(), key=lambda n: abs(n - k)))
    text = spoken(second, safeguard_sentence(theirs, size))
    means = [safeguard_accuracy(rows, n) for rows, n in ((mine, k), (theirs, size))]
    if means[0] is None or means[1] is None:
        return text
    return f"{text} {compared(means[0], means[1], (first, second), 'predicted correctly (accuracy)')}".strip()


def series_beside(other: Rows, wanted: float) -> str:
    """When the other ranking's top set is the last one's, and where it restores refusals."""
    method, rows = other
    fraction = min(rows["fraction"].unique(), key=lambda f: abs(f - wanted))
    rows = rows[rows["fraction"] == fraction]
    first, last = rows.iloc[0], rows.iloc[-1]
    text = (
        f"At step {int(first['step'])} the top {percent(fraction)} ({int(first['k']):,} neurons) shares "
        f"**{percent(first['overlap'])}** with that of step {int(last['step'])} (chance {percent(first['chance'])}); "
        f"n = {int(first['n'])}. {restored_words(rows)}"
    )
    return spoken(method, text)


def identification_beside(other: Rows) -> str:
    """What the other reference ranking restores."""
    method, rows = other
    own = rows.iloc[0]
    if pd.isna(own.get("effect_refusal")):
        return spoken(method, "No share of the gap in refusals can be given: the models are not distinguishable there.")
    bounds = interval(own["effect_refusal_low"], own["effect_refusal_high"])
    sure = "" if own["effect_refusal_low"] > 0 or own["effect_refusal_high"] < 0 else ", not distinguishable from 0"
    text = (
        f"The top {percent(own['fraction'])} restore {rate(own['effect_refusal'])} of the gap in refusals on "
        f"{suite_label(str(own['suite']))} (95 % interval {bounds}{sure}, n = {int(own['n'])})."
    )
    return spoken(method, text)
