"""Sentences about the studies of a run, made from its tables; knows no Streamlit."""

import math
from collections.abc import Sequence

import pandas as pd

from explorer.charts.labels import interval, percent, ranking_label, rate, span, suite_label

BOTH_SIDES = ("cost", "reward")
"""What an alignment tax sets against each other: safety and helpfulness."""

BOTH = "cost_and_reward"
"""The choice of `BOTH_SIDES` together."""

SCORE_WORDS = {"refusal": "refusals", "cost": "cost", "reward": "reward", "degenerate": "degenerate"}

PAPER_EFFECTS = pd.DataFrame(
    [
        ("Llama2-7B", "SFT", 101, 101, 76, 73),
        ("Mistral-7B", "SFT", 90, 80, 74, 75),
        ("Gemma-7B", "SFT", 96, 84, 79, 89),
        ("Qwen2.5-3B", "SFT", 83, 81, 68, 83),
        ("Llama2-7B", "Base", 56, 65, 63, 78),
        ("Mistral-7B", "Base", 71, 63, 134, 103),
        ("Gemma-7B", "Base", 78, 68, 64, 70),
        ("Qwen2.5-3B", "Base", 88, 87, 82, 93),
    ],
    columns=["Model", "Patched", "Beavertails", "RedTeam", "HarmBench", "JailbreakLLMs"],
)
"""Causal effects in percent that the paper reports for 20,000 patched neurons (2.9 to 5.7 % of a model), 200 prompts a
benchmark, 128 new tokens, by the Beaver cost model."""


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
    effect: pd.DataFrame, restoring: pd.DataFrame | None, suite: str, score: str, fraction: float
) -> str:
    """What the safety neurons of one fraction restore, beside random ones, and the fraction that restores 90 %."""
    rows = effect[(effect["suite"] == suite) & (effect["set"] == "safety")]
    row = rows[(rows["fraction"] - fraction).abs() < 1e-9]
    column = f"effect_{score}"
    if row.empty or pd.isna(row.iloc[0][column]):
        return (
            f"On {suite_label(suite)} the two models' {score_words(score)} are not distinguishable, so no share of a "
            "gap can be given."
        )
    found = row.iloc[0]
    text = (
        f"On {suite_label(suite)} the top **{percent(fraction)}** of the neurons restore **{rate(found[column])}** of "
        f"the gap in {score_words(score)} between M1 and M2 (95 % interval "
        f"{interval(found[f'{column}_low'], found[f'{column}_high'])}, n = {int(found['n']):,}, up to "
        f"{int(found['max_new_tokens'])} tokens an answer)"
    )
    above = f"above_random_{score}"
    if above in found and not pd.isna(found[above]):
        low, high = found[f"{above}_low"], found[f"{above}_high"]
        verdict = "more than" if low > 0 else "less than" if high < 0 else "not distinguishably more than"
        text += (
            f": {verdict} as many random neurons of the same layers (difference {rate(found[above])}, "
            f"{interval(low, high)}; paired test p = {found[f'p_{score}']:.2g})"
        )
    text += "."
    if restoring is not None:
        at = restoring[(restoring["suite"] == suite) & (restoring["score"] == score)]
        if len(at):
            text += " " + restoring_words(at.iloc[0])
    return text


def restoring_words(row: pd.Series) -> str:
    """The fraction that restores the paper's share of the gap, or that it is not reached."""
    if pd.isna(row["fraction"]):
        return ""
    largest = percent(row["largest"])
    if math.isinf(row["fraction"]):
        return f"{percent(row['share'])} of the gap is not reached with up to {largest} of the neurons."
    high = f"more than {largest}" if math.isinf(row["fraction_high"]) else percent(row["fraction_high"])
    low = f"more than {largest}" if math.isinf(row["fraction_low"]) else percent(row["fraction_low"])
    return (
        f"{percent(row['share'])} of the gap is restored by **{percent(row['fraction'])}** of the neurons "
        f"(95 % interval {low} to {high})."
    )


def transfer_sentence(frame: pd.DataFrame, score: str) -> str:
    """How much is lost when neurons of one kind of prompts are patched on another."""
    column = f"effect_{score}"
    known = frame.dropna(subset=[column])
    own = known[known["source"] == known["own"]]
    other = known[known["source"] != known["own"]]
    if own.empty or other.empty:
        return f"No share of the gap in {score_words(score)} can be given, for the models differ too little there."
    k, n = int(known["k"].iloc[0]), known["n"]
    return (
        f"With {k:,} neurons, those found on the prompts themselves restore **{rate(own[column].mean())}** of the gap "
        f"in {score_words(score)} on average, those found on others **{rate(other[column].mean())}** "
        f"({len(own)} and {len(other)} cells, n = {span(n.min(), n.max())} prompts a cell, up to "
        f"{int(known['max_new_tokens'].iloc[0])} tokens an answer)."
    )


def tax_sentence(frame: pd.DataFrame, score: str) -> str:
    """What one model's activations do to the other at the shared neurons, both ways."""
    rows = frame[(frame["set"] == "shared") & (frame["score"] == score)]
    parts = []
    for row in rows.to_dict("records"):
        low, high = row["delta_low"], row["delta_high"]
        sure = "" if low > 0 or high < 0 else ", not distinguishable from 0"
        parts.append(
            f"{ranking_label(str(row['activations_of']))} activations in {ranking_label(str(row['into']))} change "
            f"{score_words(score)} on {suite_label(str(row['suite']))} by **{row['delta']:+.2f}** "
            f"({low:+.2f} to {high:+.2f}, n = {row['n']}{sure})"
        )
    return "; ".join(parts) + "." if parts else ""


def safeguard_sentence(frame: pd.DataFrame, k: int) -> str:
    """How well harm is predicted on prompts of other suites, beside both controls."""
    rows = frame[(frame["k"] == k) & (frame["train"] != frame["test"])]
    merged = rows[rows["test"] == "all others"]
    rows = merged if len(merged) else rows
    safety, random = rows[rows["neurons"] == "safety"], rows[rows["neurons"] == "random"]
    if safety.empty:
        return "Harm could not be predicted: the answers to each suite are all of one kind."
    text = (
        f"From **{k:,}** neurons at the last prompt token, trained on one suite and tested on the others, "
        f"**{rate(safety['accuracy'].mean())}** of the answers are predicted rightly (AUROC "
        f"{safety['auroc'].mean():.2f})"
    )
    if len(random):
        text += (
            f"; random neurons of the same layers give {rate(random['accuracy'].mean())} ({random['auroc'].mean():.2f})"
        )
    return (
        f"{text}; saying always the same gives {rate(safety['majority'].mean())} (means over {len(safety)} training "
        f"suites, n = {span(safety['n'].min(), safety['n'].max())} test prompts)."
    )


def seeds_sentence(frame: pd.DataFrame, fraction: float) -> str:
    """How alike the rankings of a recipe's seeds are."""
    rows = frame[(frame["fraction"] - fraction).abs() < 1e-9]
    if rows.empty:
        return ""
    return (
        f"The top {percent(fraction)} of {len(set(rows['a']) | set(rows['b']))} rankings of one recipe share "
        f"**{percent(rows['overlap'].min())} to {percent(rows['overlap'].max())}** of their neurons (chance "
        f"{percent(rows['chance'].iloc[0])}), with a Spearman ρ of **{rows['spearman'].min():.2f} to "
        f"{rows['spearman'].max():.2f}** over the shared ones."
    )


def capability_sentence(frame: pd.DataFrame) -> str:
    """Whether patching changes general ability more than the interval allows for."""
    patched = frame[frame["model"] == "patched"]
    if patched.empty:
        return ""
    changed = []
    for row in patched.to_dict("records"):
        still = 1.0 if row["measure"] == "perplexity" else 0.0
        if row["change_low"] > still or row["change_high"] < still:
            changed.append(f"{TASKS.get(str(row['task']), str(row['task']))} at {percent(row['fraction'])}")
    if not changed:
        return "None of the measures moves out of its interval when M1 is patched."
    return f"Patching M1 moves {', '.join(changed)} beyond the interval; see below by how much."


TASKS = {
    "wikitext2": "perplexity on WikiText-2",
    "mmlu": "accuracy on MMLU",
    "truthfulqa": "accuracy on TruthfulQA",
    "gsm8k": "accuracy on GSM8K",
}
"""The tasks of general capability, in words."""
