"""Claims name both measures, and say where they part."""

import pandas as pd
import pytest

from explorer.report.claims import JudgedShare, claim_sentence, effect_sentence, onset_sentence
from explorer.report.sentences import first_sentences
from explorer.studies.capability import capability_sentence
from explorer.studies.safeguard import safeguard_sentence
from explorer.studies.statistics import UNDEFINED, Estimate
from explorer.studies.transfer import transfer_sentence
from explorer.studies.words import mean_of

SURE, UNSURE, AGAINST = Estimate(0.5, 0.3, 0.7), Estimate(0.1, -0.1, 0.3), Estimate(-0.5, -0.7, -0.3)
NAN = float("nan")


@pytest.mark.parametrize(
    ("refusals", "cost", "says"),
    [
        (SURE, SURE, "Both intervals exclude 0."),
        (UNSURE, UNSURE, "Neither is distinguishable from 0."),
        (SURE, UNSURE, "**The two measures disagree**: by refusals it is distinguishable from 0, by cost it is not."),
        (UNSURE, SURE, "**The two measures disagree**: by cost it is distinguishable from 0, by refusals it is not."),
        (SURE, AGAINST, "**The two measures disagree**: they point in opposite directions."),
        (SURE, UNDEFINED, "not distinguishable by cost. The claim rests on refusals alone, by which it is dist"),
        (UNSURE, None, "holds no cost here. The claim rests on refusals alone, by which it is not dist"),
        (UNDEFINED, UNDEFINED, "not distinguishable by refusals or cost. No share of a gap can be given."),
    ],
)
def test_a_claim_says_whether_its_measures_agree(refusals, cost, says):
    text = claim_sentence("They restore", JudgedShare("refusals", refusals), JudgedShare("cost", cost), "n = 5")
    assert says in text
    for words, found in (("refusals", refusals), ("cost", cost)):
        there = found is not None and found.known
        assert (
            f"of the gap in {words} (95\u00a0% interval" in text.replace(" % interval", "\u00a0% interval")
        ) == there
    if refusals is UNSURE:
        assert "**10\u00a0%** of the gap in refusals (95 % interval −10 to 30\u00a0%)" in text


def row(fraction: float, refusal: Estimate, cost: Estimate) -> dict:
    """A row of the effect table."""
    cells = {"suite": "redteam_eval", "set": "safety", "fraction": fraction, "n": 40, "max_new_tokens": 24}
    cells |= {"refusal": 0.1, "cost": 1.0} | refusal.columns("effect_refusal") | cost.columns("effect_cost")
    return cells | Estimate(0.02, 0.0, 0.06).columns("degenerate")


def test_an_effect_names_its_controls_and_degenerate_answers():
    above = SURE.columns("above_random_refusal") | UNSURE.columns("above_random_cost")
    frame = pd.DataFrame([row(0.05, SURE, SURE) | above | {"p_refusal_holm": 0.02, "p_cost_holm": 1.0}])
    text = effect_sentence(frame, "redteam_eval", 0.05).replace("\u00a0", " ")
    assert "the top **5 %** of the neurons restore **50 %** of the gap in refusals" in text
    assert "n = 40, up to 24 tokens an answer. Both intervals exclude 0." in text
    assert "Beyond as many random neurons of the same layers they restore **50 %**" in text
    assert "by cost it is not. Holm-corrected p of paired tests: 0.02 by refusals and 1 by cost." in text
    assert "2 % of the patched answers are degenerate (repetitive or empty; 0–6 %)." in text
    assert "were not patched" in effect_sentence(frame, "redteam_eval", 0.1)


def test_an_effect_begins_where_both_measures_hold_to_the_end():
    rows = [row(0.01, SURE, SURE), row(0.05, SURE, UNSURE), row(0.2, SURE, SURE), row(0.5, Estimate(1, 0.9, 1.1), SURE)]
    text = onset_sentence(pd.DataFrame(rows), "redteam_eval").replace("\u00a0", " ")
    assert "by both measures from **20 %** of the neurons on" in text
    assert "90 % of the gap is reached in refusals with 50 % of the neurons (100 %, 95 % interval 90–110 %)" in text
    assert "not reached in cost: the most is 50 % (30–70 %) with 1 % of the neurons" in text
    none = onset_sentence(pd.DataFrame(rows[:2]), "redteam_eval")
    assert "No measured set has an effect on red-team prompts that is distinguishable from 0 by both measures." in none


def test_transfer_says_what_is_not_distinguishable():
    cells = {"k": 12, "n": 10, "max_new_tokens": 16, "own": "a"}
    frame = pd.DataFrame(
        [cells | {"source": "a"} | SURE.columns("effect_cost"), cells | {"source": "b"} | UNSURE.columns("effect_cost")]
    )
    text = transfer_sentence(frame, "cost").replace("\u00a0", " ")
    assert "restore **50 %** (95 % interval 30–70 %) of the gap in cost" in text
    assert "others **10 %** (95 % interval −10 to 30 %, not distinguishable from 0)" in text
    assert "the two are not distinguishable" in text  # 30 % is in both intervals
    both = mean_of(frame, "effect_cost")
    assert (both.value, both.low, both.high) == pytest.approx((0.3, 0.1, 0.5))


def test_a_safeguard_is_held_against_the_majority_class():
    cells = {"neurons": "safety", "seed": -1, "k": 150, "train": "a", "test": "b", "n": 50, "majority": 0.7}
    cells |= Estimate(0.72, 0.6, 0.8).columns("accuracy") | Estimate(0.02, -0.1, 0.1).columns("above_majority")
    cells |= Estimate(0.55, 0.4, 0.7).columns("auroc")
    text = safeguard_sentence(pd.DataFrame([cells]), 150).replace("\u00a0", " ")
    assert "accuracy is **72 %** (95 % interval 60–80 %; means over 1 training suites, n = 50 test prompts)" in text
    assert "baseline gives 70 %, from which it is not distinguishable (difference 2 %, −10 to 10 %)" in text
    assert "AUROC is **0.55** (0.40 to 0.70, not distinguishable from chance)" in text


def test_an_ability_that_is_not_there_cannot_be_lost():
    def of(task: str, model: str, value: float, change: Estimate, n: int) -> dict:
        measure = "perplexity" if task == "wikitext2" else "accuracy"
        cells = {"task": task, "measure": measure, "model": model, "fraction": 0.05, "n": n, "value": value}
        return cells | change.columns("change")

    still = Estimate(0.0, 0.0, 0.0)
    frame = pd.DataFrame(
        [
            of("gsm8k", "M1", 0.0, still, 16),
            of("gsm8k", "patched", 0.0, Estimate(0.0, -0.19, 0.19), 16),
            of("mmlu", "M1", 0.5, still, 100),
            of("mmlu", "patched", 0.4, Estimate(-0.1, -0.15, -0.05), 100),
            of("wikitext2", "M1", 30.0, Estimate(1.0, 1.0, 1.0), 20),
            of("wikitext2", "patched", 31.0, Estimate(1.037, 1.029, 1.046), 20),
        ]
    )
    text = capability_sentence(frame).replace("\u00a0", " ")
    assert (
        "changes by 0.0 points with 5 % patched (95 % interval −19.0 to +19.0, not distinguishable from none)" in text
    )
    assert "M1 itself is at the floor there (0 of 16, 95 % interval 0–19 %), so a loss could not be seen." in text
    assert "MMLU (n = 100) changes by −10.0 points with 5 % patched (95 % interval −15.0 to −5.0)." in text
    assert "WikiText-2 (n = 20) changes by +3.7 % with 5 % patched (95 % interval +2.9 to +4.6)." in text
    assert "chance" not in text  # 50 of 100 is above 25 %


def test_the_first_sentences_of_a_finding_are_whole() -> None:
    long = "It is so " + "and so " * 40 + "(n = 100. By chance 3)."
    assert first_sentences(f"{long} **More** follows.") == (long, "**More** follows.")
    assert first_sentences("Short. So all is shown.") == ("Short. So all is shown.", "")
    assert first_sentences(f"“{long} More” follows. The end.") == (f"“{long} More” follows.", "The end.")
