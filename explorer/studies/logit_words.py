"""Words of the studies of logits: what is compared, and estimates in logits (`logit_attribution`, `logit_lens`)."""

from collections.abc import Mapping, Sequence

import pandas as pd

from explorer.charts.labels import interval, percent, rate, signed, suite_label, true_minus
from explorer.studies.compared_sets import RANDOM, by_words
from explorer.studies.statistics import Estimate

M1, M2 = "m1", "m2"
"""How tables name the two models, where neuron sets stand beside them."""

ALL = -1
"""The layer of what is of all layers together."""


def set_words(name: str) -> str:
    """What a row is of, in the middle of a sentence."""
    if name in (M1, M2):
        return name.upper()
    return "random neurons of the same layers" if name == RANDOM else f"the top set by {by_words(name)}"


def set_label(name: str) -> str:
    """The same in a legend."""
    if name in (M1, M2):
        return name.upper()
    return "Random neurons" if name == RANDOM else f"Top set by {by_words(name)}"


def logits(found: Estimate) -> str:
    """ "+1.20 logits (95 % interval 1.00 to 1.40)", with true minus signs."""
    return true_minus(f"{signed(found.value, 2)} logits (95 % interval {found.low:.2f} to {found.high:.2f})")


_REST = {"attention": "attention", "neurons": "other neurons", "readout": "the final norm"}


def attribution_sentence(table: pd.DataFrame) -> str:
    """How much of the first set's change is direct, where the rest comes from, and what the other sets do.

    Args:
        table: the run's table `logit_attribution`.
    """
    whole = table[table["layer"] == ALL]
    names = list(dict.fromkeys(whole["set"]))
    by_set = {name: whole[whole["set"] == name].set_index("part") for name in names}
    first, rows = by_set[names[0]].iloc[0], by_set[names[0]]
    size = f"{set_words(names[0])} ({percent(first['fraction'])}, {int(first['k']):,} neurons)"
    total = Estimate.of(rows.loc["total"], "margin")
    where = f"{suite_label(first['suite'])}, n = {int(first['n']):,}, read at the last prompt token"
    if not total.sign:
        said = f"Patching {size} does not distinguishably change the refusal margin of the first token: {logits(total)}"
        return f"{said}; no shares are given; {where}.{_others(by_set, names[1:])}"
    verb = "raises" if total.sign > 0 else "lowers"
    direct = Estimate.of(rows.loc["direct"], "share") if "direct" in rows.index else Estimate(0.0, 0.0, 0.0)
    rest = ", ".join(f"{words} {rate(rows.loc[part, 'share'])}" for part, words in _REST.items() if part in rows.index)
    later = f"; the rest comes through what later layers make of it ({rest})" if rest else ""
    return (
        f"Patching {size} {verb} the refusal margin of the first token by {logits(total)}. The patched neurons write "
        f"**{rate(direct.value)}** of that (95 % interval {interval(direct.low, direct.high)}) straight to the logits"
        f"{_most(direct)}{later}; {where}."
        f"{_others(by_set, names[1:])}"
    )


def _most(direct: Estimate) -> str:
    """Whether that is more or less than half, where the interval tells."""
    return ", most of it" if direct.low > 0.5 else ", less than half" if direct.high < 0.5 else ""


def _others(by_set: Mapping[str, pd.DataFrame], names: Sequence[str]) -> str:
    """What M2 and the sets beside change, a clause each."""
    said = []
    for name in names:
        rows = by_set[name]
        total = Estimate.of(rows.loc["total"], "margin")
        direct = Estimate.of(rows.loc["direct"], "share") if "direct" in rows.index else Estimate(0.0, 0.0, 0.0)
        if not total.sign:
            said.append(f"{set_words(name)}: {logits(total)}, not distinguishable from 0")
        elif name == M2:
            said.append(f"{set_words(name)}: {logits(total)}, {rate(direct.value)} of it written by its MLPs")
        else:
            said.append(f"{set_words(name)}: {logits(total)}, {rate(direct.value)} of it direct")
    return f" Beside it, {'; '.join(said)}." if said else ""
