"""Sentences about a run, made from its tables: no number here that was not measured.

facts = headline(total_neurons, models, effect, "redteam_eval", 0.05)
facts.sentence()
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from explorer.charts.labels import interval, percent, rate, suite_label
from explorer.data.suites_io import WITHHELD
from explorer.report.by import UNSAID, By


@dataclass(frozen=True)
class Rate:
    """A refusal rate with its 95 % interval, over `n` prompts answered with at most `tokens` tokens.

    Of random neurons, the mean over `draws`, and `spread` the lowest and highest draw where the run holds them.
    """

    value: float
    low: float
    high: float
    n: int
    tokens: int
    draws: int = 1
    spread: tuple[float, float] | None = None

    def bounds(self) -> str:
        """Where it comes from, for a caption: "n = 112 · 95 %: 53–71 % · 48 tokens"."""
        draws = f" · {self.draws} random draws" if self.draws > 1 else ""
        if draws and self.spread is not None:
            draws += f" ({interval(*self.spread)})"
        return f"n = {self.n:,} · 95 % interval {interval(self.low, self.high)} · {self.tokens} tokens{draws}"


@dataclass(frozen=True)
class Headline:
    """What patching one fraction does to refusals on one suite; None where the run did not measure it."""

    total: int
    layers: int
    suite: str
    fraction: float
    k: int
    unpatched: Rate | None
    patched: Rate | None
    random: Rate | None
    aligned: Rate | None

    def sentence(self, by: By = UNSAID) -> str:
        """The run's main result, with n, decoding length and intervals; `by` says which ranking's it is."""
        if self.unpatched is None or self.patched is None:
            return f"This run did not measure refusals of {suite_label(self.suite)}."
        u, p = self.unpatched, self.patched
        patching = f"By {by.words}, patching" if by.words else "Patching"
        text = (
            f"The model has **{self.total:,} neurons** in {self.layers} layers. {patching} M2's activations into the "
            f"**{self.k:,}** top-ranked ones ({percent(self.fraction)}) {_changes(u.value, p.value)} of "
            f"{suite_label(self.suite)} from **{rate(u.value)}** to **{rate(p.value)}**"
        )
        if self.random is not None:
            text += f"; into as many random neurons of the same layers: **{rate(self.random.value)}**"
        if self.aligned is not None:
            text += f"; M2 itself: **{rate(self.aligned.value)}**"
        intervals = [f"{interval(r.low, r.high)}" for r in (u, p, self.random, self.aligned) if r is not None]
        return (
            f"{text} (n = {p.n:,} prompts, up to {p.tokens} tokens an answer; 95 % intervals {', '.join(intervals)})."
        )


def headline(
    shape: tuple[int, int], models: pd.DataFrame, effect: pd.DataFrame, suite: str, fraction: float
) -> Headline:
    """The refusal rates of one suite and fraction, out of the tables `models` and `effect`.

    Args:
        shape: layers, and neurons per layer.
        models, effect: tables of the run.
        suite: a prompt suite.
        fraction: a fraction that was patched.
    """
    plain = models[models["suite"] == suite].set_index("column")
    near = effect[(effect["suite"] == suite) & ((effect["fraction"] - fraction).abs() < 1e-9)].set_index("set")
    k = int(near["k"].iloc[0]) if len(near) else 0
    return Headline(
        total=shape[0] * shape[1],
        layers=shape[0],
        suite=suite,
        fraction=fraction,
        k=k,
        unpatched=_rate(plain, "unpatched"),
        patched=_rate(near, "safety"),
        random=_rate(near, "random"),
        aligned=_rate(plain, "aligned"),
    )


def random_near(effect: pd.DataFrame, suite: str, fraction: float) -> tuple[float, Rate] | None:
    """Refusals with random neurons patched, at the measured fraction nearest to the one that is asked for.

    A build may draw random sets at fewer fractions than it patches.

    Args:
        effect: the run's table, of one ranking and direction.
        suite: a prompt suite.
        fraction: of all neurons.

    Returns:
        The fraction that was measured, and the rate; None where no random neurons were patched on the suite.
    """
    fractions = fractions_of(effect[effect["refusal"].notna()], suite, "random")
    if not fractions:
        return None
    measured = nearest(fractions, fraction)
    here = (effect["suite"] == suite) & ((effect["fraction"] - measured).abs() < 1e-9)
    found = _rate(effect[here].set_index("set"), "random")
    return None if found is None else (measured, found)


def main_suite(manifest: Mapping[str, Any], effect: pd.DataFrame, answers: pd.DataFrame) -> str:
    """The suite whose numbers are shown first: the build file's headline.

    Runs whose build file names none show the first red-team suite with prompts that can be read, else the first suite
    with such prompts, else the first; never the one that looks best.

    Args:
        manifest: of the run.
        effect, answers: tables of the run.

    Returns:
        The name of a suite that safety neurons were patched on; "" where there is none.
    """
    patched = list(dict.fromkeys(effect.loc[effect["set"] == "safety", "suite"])) if len(effect) else []
    if manifest.get("headline") in patched:
        return str(manifest["headline"])
    order = [s for s in dict.fromkeys(answers["suite"]) if s in patched] or patched
    first = answers.drop_duplicates("suite").set_index("suite")["prompt"]
    readable = [s for s in order if s in first and WITHHELD not in str(first[s])]
    red_team = [s for s in readable if s.startswith("redteam")]
    return next(iter([*red_team, *readable, *order]), "")


def fractions_of(effect: pd.DataFrame, suite: str, kind: str = "safety") -> list[float]:
    """The fractions that were patched on a suite, ascending."""
    return sorted(effect.loc[(effect["suite"] == suite) & (effect["set"] == kind), "fraction"].unique().tolist())


def nearest(options: list[float], wanted: float) -> float:
    """The option closest to what is wanted."""
    return min(options, key=lambda option: abs(option - wanted))


def rates_caption(rates: pd.DataFrame, fraction: float) -> str:
    """What a chart of `rates_frame` shows, and where this fraction was not measured."""
    counts = rates.drop_duplicates("suite")
    ns = ", ".join(f"{int(n):,} {prompts}" for prompts, n in zip(counts["prompts"], counts["n"], strict=True))
    text = f"Refusals with 95 % intervals: {ns}; up to {int(rates['max_new_tokens'].max())} tokens an answer."
    for kind, what in (("safety", "Patched"), ("random", "Random")):
        there = set(rates.loc[rates["series"] == kind, "suite"])
        missing = [p for s, p in zip(counts["suite"], counts["prompts"], strict=True) if s not in there]
        if missing:
            text += f" {what} at {percent(fraction)}: not measured on {' and '.join(missing)}."
    return text


def likeness_sentence(pair: pd.Series, fraction: float) -> str:
    """How much the top sets of two rankings share, in words.

    Args:
        pair: a row with a_label, b_label, k, shared, overlap, chance, ratio, spearman.
        fraction: the size of the top sets.
    """
    text = (
        f"Of the top {percent(fraction)} ({int(pair['k']):,} neurons) of **{pair['a_label']}** and of "
        f"**{pair['b_label']}**, **{int(pair['shared']):,}** are the same: {percent(pair['overlap'])}, where chance "
        f"gives {percent(pair['chance'])}."
    )
    if pd.isna(pair["spearman"]):
        return f"{text} The shared ones are too few to correlate."
    return f"{text} Their order agrees with a Spearman ρ of **{pair['spearman']:.2f}**."


def _rate(rows: pd.DataFrame, name: str) -> Rate | None:
    if name not in rows.index:
        return None
    cells: Any = rows.loc[name]
    if pd.isna(cells["refusal"]):
        return None
    value, low, high = (float(cells[column]) for column in ("refusal", "refusal_low", "refusal_high"))
    draws = tuple(float(cells.get(f"refusal_draw_{end}", "nan")) for end in ("min", "max"))
    spread = None if pd.isna(draws[0]) else (draws[0], draws[1])
    return Rate(value, low, high, int(cells["n"]), int(cells["max_new_tokens"]), int(cells.get("seeds", 1)), spread)


def _changes(before: float, after: float) -> str:
    return f"{'raises' if after > before else 'lowers' if after < before else 'does not move'} refusals"
