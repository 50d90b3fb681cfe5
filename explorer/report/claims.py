"""Claims about patching, each by two measures that do not share their words: refusals and cost.

Every sentence names both with their intervals, n and the decoding length; where the two part (one interval excludes 0,
the other does not), it says so. Degenerate answers stand beside them.

effect_sentence(effect, "redteam_eval", 0.05, By("attribution"))
"""

from dataclasses import dataclass

import pandas as pd

from explorer.charts.labels import interval, p_value, percent, rate, suite_label
from explorer.report.by import UNSAID, By
from explorer.studies.effect import DEGENERATE, RESTORED
from explorer.studies.statistics import Estimate

MEASURES = {"refusal": "refusals", "cost": "cost"}
"""The two judges of a claim, by their columns."""


@dataclass(frozen=True)
class JudgedShare:
    """What one measure says of a claim.

    Attributes:
        words: the measure, in words.
        estimate: shares of the gap between M1 and M2; nan where the models are not distinguishable; None where the run
            does not hold the measure.
    """

    words: str
    estimate: Estimate | None

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return self.estimate is not None and self.estimate.known

    @property
    def sign(self) -> int:
        """1 or −1 where the interval lies above or below 0, else 0."""
        return self.estimate.sign if self.estimate is not None else 0


def claim_sentence(lead: str, refusals: JudgedShare, cost: JudgedShare, scope: str) -> str:
    """A claim by both measures, and whether they agree.

    Args:
        lead: what the shares are: "On … the top **5 %** of the neurons restore".
        refusals, cost: what each says.
        scope: on what: of `scope_of`.
    """
    known = [m for m in (refusals, cost) if m.known]
    if not known:
        return f"{_missing([refusals, cost])} No share of a gap can be given."
    numbers = []
    for m in known:
        assert m.estimate is not None
        bounds = interval(m.estimate.low, m.estimate.high)
        numbers.append(f"**{rate(m.estimate.value)}** of the gap in {m.words} (95 % interval {bounds})")
    return f"{lead} {' and '.join(numbers)}; {scope}. {_verdict(refusals, cost)}"


def _verdict(refusals: JudgedShare, cost: JudgedShare) -> str:
    """Whether the two measures say the same."""
    known = [m for m in (refusals, cost) if m.known]
    if len(known) == 1:
        rest = [m for m in (refusals, cost) if not m.known]
        only = known[0]
        sure = "is distinguishable" if only.sign else "is not distinguishable"
        return f"{_missing(rest)} The claim rests on {only.words} alone, by which it {sure} from 0."
    if refusals.sign == cost.sign:
        return "Both intervals exclude 0." if cost.sign else "Neither is distinguishable from 0."
    if refusals.sign and cost.sign:
        return "**The two measures disagree**: they point in opposite directions."
    yes, no = (refusals, cost) if refusals.sign else (cost, refusals)
    return f"**The two measures disagree**: by {yes.words} it is distinguishable from 0, by {no.words} it is not."


def _missing(measures: list[JudgedShare]) -> str:
    """Why there is no number."""
    lost = [m.words for m in measures if m.estimate is None]
    alike = [m.words for m in measures if m.estimate is not None]
    parts = [f"The run holds no {' or '.join(lost)} here."] if lost else []
    if alike:
        parts.append(f"The two models are not distinguishable by {' or '.join(alike)}.")
    return " ".join(parts)


def effect_sentence(effect: pd.DataFrame, suite: str, fraction: float, by: By = UNSAID) -> str:
    """What the top-ranked neurons of one fraction restore or break, beside random ones, and how many answers are
    degenerate.

    Args:
        effect: the run's table, of one ranking and direction.
        suite, fraction: of the patched answers.
        by: that ranking and direction.
    """
    row = _row(effect, suite, fraction)
    if row is None:
        return f"{percent(fraction)} of the neurons were not patched on {suite_label(suite)}."
    lead = f"On {suite_label(suite)}{by.aside} the top **{percent(fraction)}** of the neurons {by.verb}"
    text = claim_sentence(lead, *_both(row, "effect_"), scope_of(row))
    above = _both(row, "above_random_")
    if any(m.known for m in above):
        lead = f"Beyond as many random neurons of the same layers they {by.verb}"
        beyond = claim_sentence(lead, *above, "over the same prompts")
        text += f" {beyond}{_corrected(row)}"
    return f"{text}{degenerate_words(row)}"


def claim_at(effect: pd.DataFrame, suite: str, fraction: float, lead: str) -> str:
    """A claim about the top-ranked neurons of one fraction in words of one's own; "" where they were not patched.

    Args:
        effect: the run's table, of one ranking and direction.
        suite, fraction: of the patched answers.
        lead: of `claim_sentence`.
    """
    row = _row(effect, suite, fraction)
    return "" if row is None else claim_sentence(lead, *_both(row, "effect_"), scope_of(row))


def reached_sentence(effect: pd.DataFrame, suite: str) -> str:
    """The smallest set that gets to `RESTORED` of each gap, or the most that any does; "" where there is no gap."""
    both = [(row, _both(row, "effect_")) for _, row in _top(effect, suite).iterrows()]
    needed = [i for i in (0, 1) if any(pair[i].known for _, pair in both)]
    return _reached(both, needed) if needed else ""


def onset_sentence(effect: pd.DataFrame, suite: str, by: By = UNSAID) -> str:
    """From which measured fraction on patching has an effect by both measures, and where it restores `RESTORED`."""
    rows = _top(effect, suite)
    both = [(row, _both(row, "effect_")) for _, row in rows.iterrows()]
    if not any(m.known for _, pair in both for m in pair):
        return f"Whether patching {by.verb}s safety cannot be said on {suite_label(suite)}. " + _missing(
            list(both[-1][1]) if both else []
        )
    needed = [i for i in (0, 1) if any(pair[i].known for _, pair in both)]
    holds = [all(pair[i].sign > 0 for i in needed) for _, pair in both]
    start = next((i for i in range(len(holds)) if all(holds[i:])), None)
    judges = "both measures" if len(needed) == 2 else both[-1][1][needed[0]].words
    if start is None:
        what = f"No measured set has an effect on {suite_label(suite)}{by.aside}"
        text = f"{what} that is distinguishable from 0 by {judges}."
    else:
        row, pair = both[start]
        lead = (
            f"On {suite_label(suite)}{by.aside} the effect is distinguishable from 0 by {judges} from "
            f"**{percent(row['fraction'])}** of the neurons on; so many {by.verb}"
        )
        text = claim_sentence(lead, *pair, scope_of(row))
    return f"{text} {_reached(both, needed)}"


def _reached(both: list[tuple[pd.Series, tuple[JudgedShare, JudgedShare]]], needed: list[int]) -> str:
    """The smallest measured set that restores `RESTORED` of each gap, or the most that any does."""
    parts = []
    for i in needed:
        known = [(row, pair[i].estimate) for row, pair in both if pair[i].known]
        words = both[0][1][i].words
        found = next(((row, e) for row, e in known if e is not None and e.value >= RESTORED), None)
        if found is None:
            row, best = max(known, key=lambda item: item[1].value if item[1] is not None else 0.0)
            what = f"not reached in {words}: the most is"
        else:
            row, best = found
            what = f"reached in {words} with"
        assert best is not None
        size, bounds = percent(row["fraction"]), interval(best.low, best.high)
        if found is None:
            parts.append(f"{what} {rate(best.value)} ({bounds}) with {size} of the neurons")
        else:
            parts.append(f"{what} {size} of the neurons ({rate(best.value)}, 95 % interval {bounds})")
    return f"{percent(RESTORED)} of the gap is {'; '.join(parts)}."


def scope_of(row: pd.Series) -> str:
    """On what a row was measured: "n = 112, up to 24 tokens an answer"."""
    return f"n = {int(row['n']):,}, up to {int(row['max_new_tokens'])} tokens an answer"


def degenerate_words(row: pd.Series) -> str:
    """The share of degenerate answers beside a claim; empty where the run does not know it."""
    found = estimate_of(row, DEGENERATE)
    if found is None or not found.known:
        return ""
    bounds = interval(found.low, found.high)
    return f" {rate(found.value)} of the patched answers are degenerate (repetitive or empty; {bounds})."


def estimate_of(row: pd.Series, column: str) -> Estimate | None:
    """A number of a table with its interval; None where the table has no such column."""
    if column not in row or f"{column}_low" not in row:
        return None
    return Estimate(float(row[column]), float(row[f"{column}_low"]), float(row[f"{column}_high"]))


def _both(row: pd.Series, prefix: str) -> tuple[JudgedShare, JudgedShare]:
    """Both measures of a row; one whose scores the run does not hold at all is None."""
    found = []
    for score, words in MEASURES.items():
        there = score in row and not pd.isna(row[score])
        found.append(JudgedShare(words, estimate_of(row, prefix + score) if there else None))
    return found[0], found[1]


def _corrected(row: pd.Series) -> str:
    """Holm's p of both measures, where the run has corrected them."""
    found = [(words, row.get(f"p_{score}_holm")) for score, words in MEASURES.items()]
    parts = [f"{p_value(p)} by {words}" for words, p in found if p is not None and not pd.isna(p)]
    return f" Holm-corrected p of paired tests: {' and '.join(parts)}." if parts else ""


def _top(effect: pd.DataFrame, suite: str) -> pd.DataFrame:
    return effect[(effect["suite"] == suite) & (effect["set"] == "safety")].sort_values("fraction")


def _row(effect: pd.DataFrame, suite: str, fraction: float) -> pd.Series | None:
    rows = _top(effect, suite)
    rows = rows[(rows["fraction"] - fraction).abs() < 1e-9]
    return None if rows.empty else rows.iloc[0]
