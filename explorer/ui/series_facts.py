"""What the Training page says of a series in words."""

import pandas as pd

from explorer.charts.labels import percent

SETTLED = 0.9


def series_sentence(table: pd.DataFrame) -> str:
    """From which step on the top set is nearly the last one's, and from which M2 refuses more than M1.

    Args:
        table: of `explorer.studies.series.series_table`, of one fraction, by rising step.
    """
    first, last = table.iloc[0], table.iloc[-1]
    settled = _from_step(table, table["overlap"] >= SETTLED)
    effective = _from_step(table, table["effect_refusal"].notna())
    text = (
        f"At step **{int(first['step'])}** the top set shares **{percent(first['overlap'])}** of its "
        f"{int(first['k']):,} neurons with that of step {int(last['step'])}, where chance gives "
        f"{percent(first['chance'])}."
    )
    if settled is None or settled == int(last["step"]):
        text += f" Before the last step it never shares {percent(SETTLED)} to the end."
    else:
        text += f" From step **{settled}** on it shares at least {percent(SETTLED)}."
    if effective is None:
        return f"{text} At the end M2 does not refuse distinguishably more than M1."
    return f"{text} From step **{effective}** on, M2 refuses distinguishably more than M1."


def _from_step(table: pd.DataFrame, holds: pd.Series) -> int | None:
    """The first step from which something holds to the end; None where it does not hold at the end."""
    fails = table.loc[~holds, "step"]
    after = table["step"] if fails.empty else table.loc[table["step"] > fails.max(), "step"]
    return None if after.empty else int(after.min())
