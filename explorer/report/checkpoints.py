"""What the Training page says of a series in words."""

import pandas as pd

from explorer.charts.labels import interval, percent, rate

SETTLED = 0.9


def series_sentence(table: pd.DataFrame) -> str:
    """How soon the top set is the last one's, how much M2 refuses along the way, and where its top set restores that.

    Args:
        table: of `explorer.studies.series.series_table`, of one fraction, by rising step.
    """
    first, last = table.iloc[0], table.iloc[-1]
    settled = _from_step(table, table["overlap"] >= SETTLED)
    text = (
        f"At step **{int(first['step'])}** the top set shares **{percent(first['overlap'])}** of its "
        f"{int(first['k']):,} neurons with that of step {int(last['step'])}, where chance gives "
        f"{percent(first['chance'])}."
    )
    if settled is None or settled == int(last["step"]):
        text += f" Before the last step it never shares {percent(SETTLED)} to the end."
    else:
        text += f" From step **{settled}** on it shares at least {percent(SETTLED)}."
    return f"{text} {_refusals(table)} {restored_words(table)}"


def _refusals(table: pd.DataFrame) -> str:
    """What M2 refuses at the first and last step and at its extremes, against M1."""
    rates = table["refusal_m2"]
    first, last = table.iloc[0], table.iloc[-1]
    least, most = table.iloc[int(rates.argmin())], table.iloc[int(rates.argmax())]
    more = table["effect_refusal"].notna() & (rates > table["refusal_m1"])
    return (
        f"M2 refuses {_rate(first, 'm2')} at step {int(first['step'])} and {_rate(last, 'm2')} at step "
        f"{int(last['step'])}; along the way from {rate(least['refusal_m2'])} (step {int(least['step'])}) to "
        f"{rate(most['refusal_m2'])} (step {int(most['step'])}). That is distinguishably more than M1's "
        f"{_rate(first, 'm1')} {_where(table, more)} (n = {int(first['n'])}, up to {int(first['max_new_tokens'])} "
        "tokens an answer)."
    )


def restored_words(table: pd.DataFrame) -> str:
    """At which steps the checkpoint's own top set restores refusals."""
    known = table["effect_refusal"].notna()
    if not known.any():
        return "No share of a gap in refusals can be given."
    low, high = table.loc[known, "effect_refusal"].min(), table.loc[known, "effect_refusal"].max()
    sure = table["effect_refusal_low"] > 0
    return (
        f"Where there is such a gap, the checkpoint's own top set restores {rate(low)} to {rate(high)} of it; "
        f"distinguishable from 0 {_where(table, sure)}."
    )


def _rate(row: pd.Series, model: str) -> str:
    name = f"refusal_{model}"
    return f"**{rate(row[name])}** ({interval(row[f'{name}_low'], row[f'{name}_high'])})"


def _where(table: pd.DataFrame, holds: pd.Series) -> str:
    """At which steps something holds: the steps that do, or all but those that do not."""
    yes, no = table.loc[holds, "step"].tolist(), table.loc[~holds, "step"].tolist()
    if not yes or not no:
        return f"at {'every' if yes else 'no'} step"
    if len(yes) <= len(no):
        return f"only at step{'s' * (len(yes) > 1)} {', '.join(map(str, yes))}"
    return f"at every step but {', '.join(map(str, no))}"


def _from_step(table: pd.DataFrame, holds: pd.Series) -> int | None:
    """The first step from which something holds to the end; None where it does not hold at the end."""
    fails = table.loc[~holds, "step"]
    after = table["step"] if fails.empty else table.loc[table["step"] > fails.max(), "step"]
    return None if after.empty else int(after.min())
