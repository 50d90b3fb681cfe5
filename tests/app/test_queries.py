"""What pages ask of a ranking, and what they say of a run: right at every size, quick at the largest."""

import time

import numpy as np
import pandas as pd
import pytest

from explorer.data.suites_io import WITHHELD
from explorer.errors import ExplorerError
from explorer.neurons.scores import ChangeScores
from explorer.report import claims, facts
from explorer.report.example_answers import answers_to, examples
from explorer.report.neuron_query import Query, cached_words, listing, means, parse_one, select, standing
from explorer.runs.reader import Run, open_run


def _changes(layers: int, neurons: int, seed: int = 0) -> ChangeScores:
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((layers, neurons), dtype=np.float32) for _ in range(5)]
    return ChangeScores(np.abs(arrays[0]), 10, *arrays[1:])


@pytest.fixture(scope="module")
def run(small_run) -> Run:
    return open_run(small_run)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["rank", "layer", "mean_m1", "mean_change", "size_of_change", "std_m2"])
def test_the_first_rows_are_those_of_the_whole_order(sort, descending) -> None:
    changes = _changes(5, 60)
    whole = listing(changes, changes.order).assign(size_of_change=lambda f: f["mean_change"].abs())
    columns = {"layer": ["layer", "index"]}.get(sort, [sort])
    expected = whole.sort_values(columns, ascending=not descending, kind="stable")["neuron"][:20]
    found = select(changes, Query(sort=sort, descending=descending), limit=20)
    assert listing(changes, found.shown)["neuron"].tolist() == expected.tolist()
    assert len(found.all) == 300


def test_filters_act_together() -> None:
    changes = _changes(5, 60)
    found = select(changes, Query(layers=(1, 3), first_rank=11, last_rank=100), limit=2000)
    ranks = changes.ranks.reshape(-1)[found.all]
    assert ranks.min() >= 11
    assert ranks.max() <= 100
    assert set((found.all // 60).tolist()) == {1, 3}
    named = select(changes, Query(names="1.5, L3.7"), limit=10)
    assert sorted(named.all.tolist()) == [65, 187]


@pytest.mark.parametrize(
    "query",
    [Query(first_rank=0), Query(first_rank=9, last_rank=3), Query(layers=(7,)), Query(sort="x"), Query(names="x")],
)
def test_a_query_that_makes_no_sense_is_one_sentence(query) -> None:
    with pytest.raises(ExplorerError):
        select(_changes(5, 60), query, limit=10)


def test_a_large_model_is_listed_quickly() -> None:
    changes = _changes(28, 24_576)
    _ = changes.ranks
    start = time.process_time()
    found = select(changes, Query(layers=tuple(range(20)), sort="size_of_change", descending=True), limit=2000)
    listing(changes, found.shown)
    assert time.process_time() - start < 0.2


def test_one_neuron_is_read_from_what_people_write() -> None:
    changes = _changes(5, 60)
    assert parse_one("L3.7", changes) == (3, 7)
    with pytest.raises(ExplorerError):
        parse_one("1.2 1.3", changes)


def test_a_neuron_stands_where_its_scores_put_it() -> None:
    changes = _changes(5, 60)
    places = standing({"all": changes, "less": changes.without_layers(2)}, 2, 9).set_index("ranking")
    above = (changes.scores > changes.scores[2, 9]).sum()
    assert places.loc["all", "rank"] == above + 1
    assert places.loc["all", "percentile"] == pytest.approx(1 - (above + 1) / 300)
    assert places.loc["all", "rank_in_layer"] == (changes.scores[2] > changes.scores[2, 9]).sum() + 1
    assert pd.isna(places.loc["less", "rank"])
    both = means(changes, 2, 9)
    assert both["mean"].tolist() == pytest.approx([changes.mean1[2, 9], changes.mean2[2, 9]])


def test_words_are_those_of_the_neuron_and_the_text(run) -> None:
    words, arrays = run.table("words"), run.tensors("words")
    layer, neuron = int(arrays["layers"][3]), int(arrays["neurons"][3])
    frame = cached_words(words, arrays, 1, layer, neuron)
    assert frame is not None
    assert frame["m1"].tolist() == arrays["m1"][3, (words["text"] == 1).to_numpy()].astype(np.float32).tolist()
    missing = next(n for n in range(40) if not ((arrays["layers"] == 0) & (arrays["neurons"] == n)).any())
    assert cached_words(words, arrays, 1, 0, missing) is None


def test_examples_hold_the_three_answers_to_one_prompt(run) -> None:
    answers = run.table("answers")
    found = examples(answers, "redteam_eval", 0.05)
    assert len(found) == 12
    rows = answers_to(answers, "redteam_eval", 0.05, found[4].prompt_id)
    assert list(rows) == ["unpatched", "patched", "aligned"]
    assert {row["prompt"] for row in rows.values()} == {found[4].prompt}
    assert rows["patched"]["set"] == "safety"
    assert found[4].telling == (
        not rows["unpatched"]["refused"] and rows["patched"]["refused"] and rows["aligned"]["refused"]
    )


def test_sentences_carry_n_length_and_intervals(run) -> None:
    models, effect = run.table("models"), run.table("effect")
    assert facts.main_suite(run.manifest, effect, run.table("answers")) == "redteam_eval"
    sentence = claims.onset_sentence(effect, "redteam_eval").replace("\u00a0", " ")
    assert "from 0 by both measures from **5 %** of the neurons on" in sentence
    assert "**25 %** of the gap in refusals (95 % interval 15–35 %)" in sentence
    assert "**25 %** of the gap in cost (95 % interval 15–35 %); n = 12, up to 16 tokens" in sentence
    assert "reached in refusals with 20 % of the neurons (100 %, 95 % interval 90–110 %)" in sentence
    weak = effect.assign(effect_refusal=effect["effect_refusal"] / 2)
    assert "not reached in refusals: the most is 50" in claims.onset_sentence(weak, "redteam_eval")
    assert "cannot be said" in claims.onset_sentence(effect, "ordinary_eval")
    missing = facts.headline((6, 40), models, effect, "redteam_eval", 0.123)
    assert missing.patched is None
    assert "did not measure" in missing.sentence()


def test_the_headline_is_what_the_build_file_says_and_never_what_looks_best(run) -> None:
    frame = run.table("answers")
    answers = pd.concat(
        [
            frame[frame["suite"] == "redteam_eval"].assign(suite=suite, prompt=prompt)
            for suite, prompt in (("bench", f"(bench, prompt 1: {WITHHELD})"), ("own", "Why?"), ("redteam_b", "How?"))
        ]
    )
    effect = pd.DataFrame({"suite": ["redteam_b", "own", "bench"], "set": "safety", "fraction": 0.05})
    assert facts.main_suite({"headline": "bench"}, effect, answers) == "bench"
    assert facts.main_suite({"headline": "lost"}, effect, answers) == "redteam_b"
    assert facts.main_suite({}, effect[effect["suite"] != "redteam_b"], answers) == "own"
    assert facts.main_suite({}, effect[effect["suite"] == "bench"], answers) == "bench"
    assert facts.main_suite({}, effect[effect["suite"] == "none"], answers) == ""
