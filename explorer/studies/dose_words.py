"""What the study of dose found, in words computed from its table."""

import pandas as pd

from explorer.charts.labels import interval, rate, signed, suite_label, true_minus
from explorer.studies.compared_sets import RANDOM, by_words
from explorer.studies.statistics import Estimate


def dose_sentence(table: pd.DataFrame) -> str:
    """What strength does at every size of the set, what overdriving adds and what it breaks.

    Args:
        table: the run's table `dose`.
    """
    patched = table[~table["set"].isin(["m1", "m2"])]
    if patched.empty:
        return ""
    name = str(patched["set"].iloc[0])
    mine = patched[patched["set"] == name]
    m1, m2 = (table[table["set"] == model].iloc[0] for model in ("m1", "m2"))
    low, high = float(mine["strength"].min()), float(mine["strength"].max())
    sizes = sorted(set(mine["k"].tolist()))
    lines = [_line(_at(mine, k), k) for k in sizes]
    texts = [
        f"Refusals of {suite_label(str(m1['suite']))} by strength ({_strengths(mine)}), top neurons by "
        f"{by_words(name)}: {'; '.join(lines)} (M1 {rate(m1['refusal'])}, M2 {rate(m2['refusal'])}; "
        f"n = {int(m1['n']):,}, up to {int(m1['max_new_tokens'])} tokens).",
        _overdriven(mine, sizes, high),
        _reversed(mine, sizes, low),
        _broken(patched, name, sizes[-1], high),
    ]
    return " ".join(text for text in texts if text)


def _at(mine: pd.DataFrame, k: int) -> pd.DataFrame:
    return mine[mine["k"] == k].sort_values("strength")


def _strengths(mine: pd.DataFrame) -> str:
    return ", ".join(_number(s) for s in sorted(mine["strength"].unique()))


def _line(rows: pd.DataFrame, k: int) -> str:
    return f"**{_neurons(k)}** " + ", ".join(rate(value) for value in rows["refusal"])


def _overdriven(mine: pd.DataFrame, sizes: list[int], high: float) -> str:
    """Whether more than M2's own activations gives more refusals."""
    if high <= 1:
        return ""
    signs = {k: _estimate(mine, k, high, "beyond") for k in sizes}
    known = {k: found for k, found in signs.items() if found.known}
    if not known:
        return ""
    up, down = ([k for k, found in known.items() if found.sign == sign] for sign in (1, -1))
    parts = [f"raises refusals beyond those at strength 1 with {_list(up)}"] if up else []
    parts += [f"lowers them with {_list(down)}"] if down else []
    if not parts:
        return (
            f"Overdriving to {_number(high)} changes refusals distinguishably from strength 1 with none of the sizes."
        )
    best = max(known, key=lambda k: abs(known[k].value))
    found = known[best]
    return (
        f"Overdriving to {_number(high)} {' and '.join(parts)} (most with {_neurons(best)}: {_points(found.value)} "
        f"points, 95 % interval {_points(found.low)} to {_points(found.high)})."
    )


def _reversed(mine: pd.DataFrame, sizes: list[int], low: float) -> str:
    """Whether the opposite of M2's change makes M1 refuse less."""
    if low >= 0:
        return ""
    found = {k: _estimate(mine, k, low, "change").sign for k in sizes}
    down, up = ([k for k, sign in found.items() if sign == wanted] for wanted in (-1, 1))
    if not down and not up:
        return f"Reversed ({_number(low)}) no size changes M1's refusals distinguishably."
    parts = [f"{word} M1's refusals with {_list(ks)}" for ks, word in ((down, "lowers"), (up, "raises")) if ks]
    return f"Reversed ({_number(low)}) the patch {' and '.join(parts)}."


def _broken(patched: pd.DataFrame, name: str, k: int, high: float) -> str:
    """What the strongest patch of the largest set does to answers and to running text; random neurons beside it."""
    parts = []
    for who in (name, RANDOM):
        rows = patched[(patched["set"] == who) & (patched["k"] == k) & (patched["strength"] == high)]
        if rows.empty:
            continue
        row = rows.iloc[0]
        words = "random ones" if who == RANDOM else f"{_neurons(k)} at strength {_number(high)}"
        degenerate = interval(row["degenerate_low"], row["degenerate_high"])
        text = f"{words}: {rate(row['degenerate'])} degenerate answers (95 % interval {degenerate})"
        if not pd.isna(row["perplexity_ratio"]):
            text += (
                f" and {row['perplexity_ratio']:.2f} times M1's perplexity ({row['perplexity_ratio_low']:.2f} to "
                f"{row['perplexity_ratio_high']:.2f}, n = {int(row['windows'])} stretches)"
            )
        parts.append(text + (f", {rate(row['refusal'])} refusals" if who == RANDOM else ""))
    return f"The price: {'; '.join(parts)}." if parts else ""


def _estimate(mine: pd.DataFrame, k: int, strength: float, column: str) -> Estimate:
    rows = mine[(mine["k"] == k) & (mine["strength"] == strength)]
    if rows.empty:
        return Estimate(float("nan"), float("nan"), float("nan"))
    return Estimate.of(rows.iloc[0], column)


def _neurons(k: int) -> str:
    return f"{int(k):,} neuron{'s' * (k != 1)}"


def _list(sizes: list[int]) -> str:
    words = [f"{int(k):,}" for k in sizes]
    return f"{' and '.join(filter(None, (', '.join(words[:-1]), words[-1])))} neuron{'s' * (sizes != [1])}"


def _number(value: float) -> str:
    return true_minus(f"{value:g}")


def _points(value: float) -> str:
    return signed(100 * value, 0)
