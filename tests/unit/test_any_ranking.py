"""Every study takes any ranking: tables of two rankings side by side, and the study of which finds the fewest."""

import numpy as np
import pandas as pd
import pytest

from explorer.data.suites_io import load_suite
from explorer.engine.contrast import contrast
from explorer.engine.patching import generate
from explorer.errors import ExplorerError
from explorer.models.pair import load_pair
from explorer.pipeline.config import read_build_config
from explorer.runs.columns import BY_METHOD, BY_RANKING, with_columns
from explorer.runs.reader import open_run
from explorer.studies import STUDIES
from explorer.studies.basis import RankingSpec
from explorer.studies.effect import RESTORED
from explorer.studies.effect_size import effect_size
from explorer.studies.fewest import Measured, fewest_sentence, fewest_table
from explorer.studies.planning import LATER, options
from tests import tiny
from tests.close import assert_close
from tests.two_methods import build_two, write_two


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run by two rankings and every study with both."""
    folder = tmp_path_factory.mktemp("two")
    found = open_run(build_two(folder))
    assert found.check() == []
    return found


def test_the_main_ranking_stands_first(run):
    assert (run.manifest["ranking"], run.main_ranking, run.rankings[0]) == ("cause", "cause", "cause")
    assert run.manifest["detail"]["ranking"] == "cause"


def test_plain_answers_stand_once_and_patched_ones_say_whose(run):
    answers = run.whole_table("answers")
    mine = answers[answers["suite"] == "redteam_eval"]
    plain = mine[mine["column"] != "patched"]
    assert set(plain["ranking"]) == {""}
    assert plain.groupby("column")["prompt_id"].agg(["size", "nunique"]).to_numpy().tolist() == [[40, 40]] * 2
    patched = mine[mine["column"] == "patched"]
    counts = patched.groupby(["ranking", "set", "fraction"]).size().to_dict()
    assert {key: n for key, n in counts.items() if key[0] == "size"} == {("size", "safety", 0.1): 8}
    assert [counts["cause", kind, 0.1] for kind in ("safety", "random")] == [12, 24]
    assert [counts["safety", kind, 0.1] for kind in ("safety", "random")] == [40, 40]
    broken = run.whole_table("answers_break")
    assert broken[broken["column"] == "unpatched"]["prompt_id"].is_unique
    assert set(broken["ranking"]) == {"", "cause", "safety"}


def test_sets_of_each_ranking_are_patched_as_that_ranking_says(run):
    pair = load_pair(run.path.parents[1] / "pair.toml", dtype="float32")
    answers = run.table("answers")
    asked = [p.prompt for p in load_suite("redteam_eval", 8)]
    out = generate(pair, asked, run.ranking("size").top(fraction=0.1), 6)
    found = answers[(answers["ranking"] == "size") & (answers["suite"] == "redteam_eval")]
    assert found["answer"].tolist() == [answer.text for answer in out.patched]


def test_tables_of_the_effect_are_by_suite_and_ranking(run):
    effect, restoring, judges = (run.whole_table(name) for name in ("effect", "restoring", "judges"))
    mine = effect[(effect["suite"] == "redteam_eval") & (effect["set"] == "safety")]
    assert {"cause", "safety", "size"} == set(mine["ranking"])
    at = mine[mine["fraction"] == 0.1].set_index("ranking")
    assert at["n"].to_dict() == {"cause": 12, "safety": 40, "size": 8}
    assert at.loc[["cause", "safety"], "p_cost"].notna().all()
    assert np.isnan(at.loc["size", "p_cost"])  # it has no random controls of its own
    both = restoring[restoring["score"] == "refusal"]
    assert set(zip(both["suite"], both["ranking"], strict=True)) == {
        ("redteam_eval", "cause"),
        ("redteam_eval", "safety"),
        ("redteam_eval", "size"),
        ("everyday_eval", "cause"),
    }
    assert set(judges.loc[judges["column"] == "patched", "ranking"]) == {"cause", "safety", "size"}


def test_studies_hold_the_rows_of_every_table(run):
    for name in BY_METHOD:
        if name in run.tables:
            assert set(run.whole_table(name)["method"]) == {"contrast", "attribution"} - (
                {"contrast"} if name in ("tax", "shared_neurons", "ablation") else set()
            )
    transfer = run.table("transfer")
    assert transfer.groupby("method").size().to_dict() == {"attribution": 2, "contrast": 2}
    assert set(run.table("tax")["fraction"]) == {0.4, 0.5}
    capability = run.table("capability")
    assert capability[capability["model"] == "patched"].groupby("ranking")["fraction"].unique().map(list).to_dict() == {
        "cause": [0.1, 0.5],
        "safety": [0.3],
    }
    found = run.table("identification")
    assert found.loc[found["reference"] == "cause", "ranking"].tolist() == ["cause", "safety", "size", "difference_m2"]
    assert set(run.table("safeguard")["ranking"]) == {"cause", "safety"}
    assert len(run.tensors("safeguard")["weight"]) in (0, 3)  # the first table's


def test_neurons_are_set_to_means_only_where_a_ranking_knows_them(run):
    ablation = run.table("ablation")
    assert np.isnan(run.ranking("cause_helpful").mean1).all()  # 0 is not among its steps
    once = ablation.groupby("value").size()
    assert once["mean"] * 2 == once["zero"]  # in the second table, from the change scores of the same adapter


def test_detail_holds_the_top_of_both(run):
    arrays = run.tensors("words")
    kept = set(zip(arrays["layers"].tolist(), arrays["neurons"].tolist(), strict=True))
    for name in ("cause", "safety"):
        top = run.ranking(name).top(10)
        assert set(zip(top.layers.tolist(), top.neurons.tolist(), strict=True)) <= kept


def test_the_study_fewest_puts_other_tables_side_by_side(run):
    table, restoring = run.whole_table("fewest"), run.table("restoring")
    assert set(table["ranking"]) == {"cause", "safety", "size", "random"}
    assert set(table["suite"]) == {"redteam_eval"}
    assert set(table["direction"]) == {"restore", "break"}
    rows = table[(table["direction"] == "restore") & (table["ranking"] != "random")]
    columns = ["suite", "ranking", "score", "share", "fraction", "fraction_low", "fraction_high", "largest", "n"]
    expected = restoring[restoring["suite"] == "redteam_eval"][columns]
    pd.testing.assert_frame_equal(rows[columns].reset_index(drop=True), expected.reset_index(drop=True))
    assert rows.set_index("ranking")["method"].to_dict() == {
        "cause": "attribution",
        "safety": "contrast",
        "size": "effect_size",
    }
    random = table[(table["ranking"] == "random") & (table["direction"] == "restore")]
    assert random["seeds"].eq(2).all()
    assert (rows["at"].isna() | (rows["at"] >= rows["fraction"] - 1e-9)).all()


def answered(values, suite="own", ranking="cause", kind="safety", fraction=0.1, seed=-1, column="patched"):
    rows = [{"prompt_id": f"p{i}", "refused": bool(v), "cost": 1.0 - 2 * v} for i, v in enumerate(values)]
    return pd.DataFrame(rows).assign(
        suite=suite, column=column, ranking=ranking, set=kind, seed=seed, fraction=fraction, start=0.0, degenerate=False
    )


def test_what_the_fewest_neurons_cost_stands_beside_them():
    from explorer.studies.effect import effect_table, restoring_table

    n = 40
    half, most = np.arange(n) % 2, np.ones(n)
    frames = []
    for suite in ("own", "daily"):
        frames += [answered(np.zeros(n), suite, "", "", np.nan, column="unpatched")]
        frames += [answered(most * (suite == "own"), suite, "", "", np.nan, column="aligned")]
        frames += [answered(half * (suite == "own"), suite, fraction=0.1)]
        frames += [answered(np.where(np.arange(n) < (n if suite == "own" else 4), 1, 0), suite, fraction=0.2)]
    frames += [answered(np.zeros(n), kind="random", fraction=0.2, seed=seed) for seed in (0, 1, 2)]
    answers = pd.concat(frames, ignore_index=True)
    scores = ("refusal", "cost", "degenerate")
    effect, restoring = effect_table(answers, 8, 100, scores), restoring_table(answers, 8, scores)
    capability = pd.DataFrame(
        {
            "task": "wikitext2",
            "model": ["M1", "patched"],
            "ranking": "cause",
            "fraction": [0.0, 0.2],
            "change": [1, 1.3],
        }
    )
    measured = {"restore": Measured(answers, effect, restoring, capability)}
    table = fewest_table(measured, {"cause": "attribution"}, "cause", "daily", 8)
    assert table.groupby("ranking").size().to_dict() == {"cause": 2, "random": 2}
    row = table[(table["ranking"] == "cause") & (table["score"] == "refusal")].iloc[0]
    assert row["share"] == RESTORED
    assert_close(row["fraction"], 0.18, "float64")
    assert (row["at"], row["degenerate"], row["perplexity"], row["everyday"]) == (0.2, 0.0, 1.3, 0.1)
    random = table[table["ranking"] == "random"]
    assert np.isinf(random["fraction"]).all()
    assert random["seeds"].eq(3).all()
    text = fewest_sentence(table, "own")
    assert "“cause” restores 90 % of the gap in refusals with the fewest neurons: 18 %" in text
    assert "random neurons of the same layers: more than 20 %" in text
    assert "do not differ" in fewest_sentence(table, "daily")


def test_effect_size_is_cohen_s_d_of_the_contrast():
    pair = tiny.shared_pair("llama")
    seen = contrast(pair, tiny.PROMPTS[:4], 6)
    found = effect_size(seen, {"method": "effect_size"})
    for layer, neuron in ((0, 0), (1, 7), (2, 23)):
        d = abs(seen.mean2[layer, neuron] - seen.mean1[layer, neuron])
        d /= np.sqrt((seen.std1[layer, neuron] ** 2 + seen.std2[layer, neuron] ** 2) / 2)
        assert_close(found.scores[layer, neuron], d)
    still = contrast(pair, tiny.PROMPTS[:1], 1)  # one position: nothing varies
    assert (effect_size(still, {}).scores == 0).all()


def test_prompt_difference_of_m2_is_of_its_means(run):
    pair = load_pair(run.path.parents[1] / "pair.toml", dtype="float32")
    harmful, harmless = (
        contrast(pair, [p.prompt for p in load_suite(suite, 6)], positions="last_prompt")
        for suite in ("redteam_eval", "everyday_eval")
    )
    found = run.ranking("difference_m2")
    scale = np.abs(harmful.mean2).max()
    assert_close(found.scores, np.abs(harmful.mean2 - harmless.mean2), layers=tiny.LAYERS, scale=scale)
    assert found.meta["model"] == "m2"


def test_settings_that_came_later_change_no_key_at_their_default():
    plain = RankingSpec("safety", "redteam_eval")
    assert "model" not in options(plain)
    assert options(RankingSpec("safety", "redteam_eval", model="m2"))["model"] == "m2"
    assert LATER["later"]


def test_tables_of_older_runs_get_the_columns_of_today():
    answers = pd.DataFrame({"suite": "own", "column": ["unpatched", "patched", "aligned"], "set": ["", "safety", ""]})
    assert with_columns("answers", answers)["ranking"].tolist() == ["", "safety", ""]
    assert "ranking" not in answers
    tax = pd.DataFrame({"a": ["x", "y"], "b": "z"})
    known = {"x": {"meta": {"method": "attribution"}}, "y": {"meta": {}}}
    assert with_columns("tax", tax, known)["method"].tolist() == ["attribution", "contrast"]
    assert with_columns("models", tax) is tax
    demo = open_run("cache/demo")
    for name in demo.tables:
        table = demo.whole_table(name)
        assert ("ranking" in table) or name not in BY_RANKING
        assert ("method" in table) or name not in BY_METHOD


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('ranking = "cause"\nscorers', 'ranking = "lost"\nscorers', "uses the ranking “lost”"),
        ("[rankings.cause]\n", "[rankings.cause]\nkeep = false\n", "is not kept in the run"),
        ("[rankings.size]\n", '[rankings.size]\nmodel = "m2"\n', "reads both models"),
        ('ranking = "size"', 'ranking = "cause"', "one suite, direction and ranking"),
        ('a = "cause_helpful"\nb = "cause"\nmeans', 'a = "cause"\nb = "cause"\nmeans', "two different rankings"),
        ('means = "helpful"', 'means = "lost"', "uses the ranking “lost”"),
        ("[[seeds]]\nrankings", "[[seeds]]\nranking", r"\[\[seeds\]\] 1 has an unknown setting"),
        ("[fewest]", "[[fewest]]", r"\[fewest\] has a single value"),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path, old, new, words):
    file = write_two(tmp_path)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ExplorerError, match=words):
        read_build_config(file)
    assert "fewest" in STUDIES
