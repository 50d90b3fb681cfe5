"""Sentences about the studies of a run, made from its tables."""

import math
from collections.abc import Callable, Sequence

import pandas as pd

from explorer.charts.labels import NBSP, interval, percent, ranking_label, rate, span, suite_label
from explorer.report import claims
from explorer.report.by import UNSAID, By
from explorer.report.ranking_names import spoken
from explorer.studies.capability import CHANCE
from explorer.studies.effect import DEGENERATE
from explorer.studies.shares import wilson
from explorer.studies.statistics import Estimate

BOTH_SIDES = ("cost", "reward")
"""What an alignment tax sets against each other: safety and helpfulness."""

BOTH = "cost_and_reward"
"""The choice of `BOTH_SIDES` together."""

SCORE_WORDS = {"refusal": "refusals", "cost": "cost", "reward": "reward", DEGENERATE: "degenerate answers"}


def score_words(score: str) -> str:
    """A score in words."""
    return SCORE_WORDS.get(score, score.replace("_", " "))


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


def transfer_sentence(frame: pd.DataFrame, score: str) -> str:
    """How much is lost when neurons of one kind of prompts are patched on another, by several scores."""
    texts = [transfer_of(frame, s) for s in dict.fromkeys([score, *claims.MEASURES]) if f"effect_{s}" in frame]
    return " ".join(texts) or f"No share of the gap in {score_words(score)} can be given: the run does not hold it."


def transfer_of(frame: pd.DataFrame, score: str) -> str:
    """How much is lost, by one score."""
    column = f"effect_{score}"
    known = frame.dropna(subset=[column])
    own = known[known["source"] == known["own"]]
    other = known[known["source"] != known["own"]]
    if own.empty or other.empty:
        return (
            f"No share of the gap in {score_words(score)} can be given: the two models are not distinguishable there."
        )
    k, n = int(known["k"].iloc[0]), known["n"]
    first, second = mean_of(own, column), mean_of(other, column)
    if first.low > second.high or second.low > first.high:
        apart = "more" if first.value > second.value else "less"
        verdict = f"those found on the prompts themselves restore distinguishably {apart}"
    else:
        verdict = "the two are not distinguishable"
    return (
        f"With {k:,} neurons, those found on the prompts themselves restore {_share_of(first)} of the gap in "
        f"{score_words(score)} on average, those found on others {_share_of(second)} ({len(own)} and {len(other)} "
        f"cells, n = {span(n.min(), n.max())} prompts a cell, up to {int(known['max_new_tokens'].iloc[0])} tokens an "
        f"answer): {verdict}."
    )


def _share_of(found: Estimate) -> str:
    """A share of a gap with its interval, and that it is nothing where it may be."""
    unsure = "" if found.sign else ", not distinguishable from 0"
    return f"**{rate(found.value)}** (95 % interval {interval(found.low, found.high)}{unsure})"


def mean_of(rows: pd.DataFrame, column: str) -> Estimate:
    """The mean of several estimates; its interval runs between the means of their bounds.

    That is no narrower than the mean's own interval, however the rows depend on each other (they share prompts).
    """
    value, low, high = (float(rows[f"{column}{end}"].mean()) for end in ("", "_low", "_high"))
    return Estimate(value, low, high)


def tax_sentence(frame: pd.DataFrame, score: str, label: Callable[[str], str] = ranking_label) -> str:
    """What one model's activations do to the other at the shared neurons, both ways.

    Args:
        frame: rows of one pair and size of top sets.
        score: which one changes.
        label: the aligned model that a ranking is of, in words.
    """
    rows = frame[(frame["set"] == "shared") & (frame["score"] == score)]
    parts = []
    for row in rows.to_dict("records"):
        low, high = row["delta_low"], row["delta_high"]
        sure = "" if low > 0 or high < 0 else ", not distinguishable from 0"
        parts.append(
            f"{label(str(row['activations_of']))} activations in {label(str(row['into']))} change "
            f"{score_words(score)} on {suite_label(str(row['suite']))} by **{row['delta']:+.2f}** "
            f"({low:+.2f} to {high:+.2f}, n = {row['n']}{sure})"
        )
    return "; ".join(parts) + "." if parts else ""


def safeguard_accuracy(frame: pd.DataFrame, k: int) -> Estimate | None:
    """The mean accuracy that `safeguard_sentence` tells of; None where nothing could be learnt."""
    rows = _on_others(frame, k)
    safety = rows[rows["neurons"] == "safety"]
    return None if safety.empty else mean_of(safety, "accuracy")


def _on_others(frame: pd.DataFrame, k: int) -> pd.DataFrame:
    """Tests on other suites than the one trained on: merged, where the run did so."""
    rows = frame[(frame["k"] == k) & (frame["train"] != frame["test"])]
    merged = rows[rows["test"] == "all others"]
    return merged if len(merged) else rows


def safeguard_sentence(frame: pd.DataFrame, k: int) -> str:
    """How well harm is predicted on prompts of other suites, against the majority-class baseline and random neurons."""
    rows = _on_others(frame, k)
    safety, random = rows[rows["neurons"] == "safety"], rows[rows["neurons"] == "random"]
    if safety.empty:
        return "Harm could not be predicted: the answers to each suite are all of one kind."
    right = mean_of(safety, "accuracy")
    text = (
        f"From **{k:,}** neurons at the last prompt token, trained on one suite and tested on the others, the accuracy "
        f"is **{rate(right.value)}** (95 % interval {interval(right.low, right.high)}; means over {len(safety)} "
        f"training suites, n = {span(safety['n'].min(), safety['n'].max())} test prompts); the majority-class baseline "
        f"gives {rate(safety['majority'].mean())}, {_against_majority(safety, right)}. "
    )
    text += f"AUROC is **{safety['auroc'].mean():.2f}**{_auroc_bounds(safety)}, where 0.5 is chance"
    if random.empty:
        return f"{text}."
    draws = random.groupby("seed")[["accuracy", "auroc"]].mean()
    (low, high), (worst, best) = ((draws[c].min(), draws[c].max()) for c in ("accuracy", "auroc"))
    return (
        f"{text}. Random neurons of the same layers: accuracy {rate(random['accuracy'].mean())} ({len(draws)} draws, "
        f"{interval(low, high)}), AUROC {random['auroc'].mean():.2f} ({worst:.2f} to {best:.2f})."
    )


def _against_majority(rows: pd.DataFrame, accuracy: Estimate) -> str:
    """Whether predictions beat the majority-class baseline."""
    if "above_majority" in rows:
        above = mean_of(rows, "above_majority")
    else:  # runs of before hold no paired difference
        majority = float(rows["majority"].mean())
        above = Estimate(*(v - majority for v in (accuracy.value, accuracy.low, accuracy.high)))
    bounds = f"difference {rate(above.value)}, {interval(above.low, above.high)}"
    words = {1: "which it beats", -1: "which it stays below", 0: "from which it is not distinguishable"}
    return f"{words[above.sign]} ({bounds})"


def _auroc_bounds(rows: pd.DataFrame) -> str:
    if "auroc_low" not in rows:
        return ""
    found = mean_of(rows, "auroc")
    sure = "" if found.low > 0.5 or found.high < 0.5 else ", not distinguishable from chance"
    return f" ({found.low:.2f} to {found.high:.2f}{sure})"


def seeds_sentence(frame: pd.DataFrame, fraction: float) -> str:
    """How alike the rankings of a recipe's seeds are."""
    rows = frame[(frame["fraction"] - fraction).abs() < 1e-9]
    if rows.empty:
        return ""
    low, high = rows["overlap"].min(), rows["overlap"].max()
    shared = percent(low) if low == high else f"{percent(low)} to {percent(high)}"
    text = (
        f"The top {percent(fraction)} ({int(rows['k'].iloc[0]):,} neurons) of "
        f"{len(set(rows['a']) | set(rows['b']))} rankings of one recipe share **{shared}** of their neurons (chance "
        f"{percent(rows['chance'].iloc[0])})"
    )
    least, most = rows["spearman"].min(), rows["spearman"].max()
    if pd.isna(least):
        return f"{text}; the shared ones are too few to correlate."
    rho = f"{least:.2f}" if least == most else f"{least:.2f} to {most:.2f}"
    return f"{text}, with a Spearman ρ of **{rho}** over the shared ones."


def capability_sentence(frame: pd.DataFrame) -> str:
    """What patching does to each ability, with n and intervals; and where M1 has none that it could lose.

    Rankings of several methods have a paragraph each.
    """
    if "method" in frame and frame["method"].nunique() > 1:
        parts = {str(m): capability_sentence(rows) for m, rows in frame.groupby("method", sort=False)}
        return "\n\n".join(spoken(method, text) for method, text in parts.items())
    texts = []
    for task, rows in frame.groupby("task", sort=False):
        m1 = rows[rows["model"] == "M1"]
        patched = rows[rows["model"] == "patched"]
        if len(m1) and len(patched):
            texts.append(_ability(TASKS.get(str(task), str(task)), m1.iloc[0], patched))
    return " ".join(texts)


def _ability(name: str, m1: pd.Series, patched: pd.DataFrame) -> str:
    """One task in a sentence."""
    subject = name[0].upper() + name[1:]
    changes = []
    for row in patched.to_dict("records"):
        ratio = row["measure"] == "perplexity"
        change = Estimate(*(row[f"change{end}"] - ratio for end in ("", "_low", "_high")))
        verdict = "" if change.sign else ", not distinguishable from none"
        unit = f"{NBSP}%" if ratio else " points"
        changes.append(
            f"{_tenths(change.value)}{unit} with {percent(row['fraction'])} patched (95 % interval "
            f"{_tenths(change.low)} to {_tenths(change.high)}{verdict})"
        )
    text = f"{subject} (n = {int(m1['n'])}) changes by {'; '.join(changes)}."
    chance = m1.get("chance", CHANCE.get(str(m1["task"]), float("nan")))
    if m1["measure"] == "perplexity" or pd.isna(chance):
        return text
    count = round(float(m1["value"]) * int(m1["n"]))
    low, high = wilson(count, int(m1["n"]))
    if low > chance:
        return text
    where = "at the floor" if chance == 0 else f"not distinguishable from chance ({percent(chance)})"
    bounds = f"{count} of {int(m1['n'])}, 95 % interval {interval(low, high)}"
    return f"{text} M1 itself is {where} there ({bounds}), so a loss could not be seen."


def _tenths(share: float) -> str:
    """A change in hundredths with its sign and one decimal."""
    return f"{100 * share:+.1f}".replace("-", "−")


TASKS = {
    "wikitext2": "perplexity on WikiText-2",
    "mmlu": "accuracy on MMLU",
    "truthfulqa": "accuracy on TruthfulQA",
    "gsm8k": "accuracy on GSM8K",
}
"""The tasks of general capability, in words."""
