"""Every study on a tiny pair: its tables are there, say n, and hold what a naive recomputation gives."""

import json

import numpy as np
import pytest
import torch

from explorer.engine.fixing import answers_with_fixed
from explorer.engine.given_text import last_prompt_activations, token_log_probs
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reference import naive_activations
from explorer.neurons.sets import NeuronSet
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.pipeline.models import Models
from explorer.scoring.degenerate import is_degenerate
from tests import tiny
from tests.close import assert_close
from tests.tiny_build import CONFIG, tables, write_adapter, write_build

STUDIES = """
[adapters.helpful]
folder = "helpful"
label = "Helpfulness"
[rankings.helpful]
suite = "redteam_eval"
adapter = "helpful"
limit = 6
max_new_tokens = 6
[rankings.everyday]
suite = "everyday_eval"
limit = 6
max_new_tokens = 6
[rankings.difference]
suite = "redteam_eval"
against = "everyday_eval"
method = "prompt_difference"
limit = 6
[rankings.variance]
suite = "redteam_eval"
method = "activation_variance"
limit = 6
[[answers]]
suite = "everyday_eval"
limit = 24
[transfer]
sources = ["safety", "everyday"]
targets = ["redteam_eval", "everyday_eval"]
fraction = 0.2
limit = 10
[categories]
found_on = "redteam_train"
tested_on = "redteam_eval"
categories = ["privacy_violation", "self_harm"]
fraction = 0.2
ranking_limit = 4
limit = 5
max_new_tokens = 4
[seeds]
rankings = ["safety", "helpful"]
[tax]
pairs = [["safety", "helpful"]]
suites = ["redteam_eval"]
fraction = 0.3
limit = 6
[ablation]
suites = ["everyday_eval"]
fraction = 0.3
limit = 6
[identification]
rankings = ["difference", "variance"]
suite = "redteam_eval"
fractions = [0.2]
limit = 8
[capability]
fractions = [0.2]
folder = "data"
windows = 2
window_tokens = 24
mmlu = 3
truthfulqa = 2
gsm8k = 2
gsm8k_tokens = 8
[safeguard]
suites = ["redteam_eval", "everyday_eval"]
sizes = [2, 5]
main_size = 5
random_seeds = [0]
"""


class Counting:
    """A scorer whose number is made from the text: anything that varies will do."""

    def score(self, prompts, texts):
        return np.array([len(set(t)) % 5 - 2.0 for t in texts], dtype=np.float32)


def write_data(folder) -> None:
    """A few rows in the published forms; their text is ours."""
    folder.mkdir()
    (folder / "wikitext2_test.txt").write_text(" = A heading = \n\n" + "The tide came in and went out again . " * 40)
    rows = [{"question": f"{i} and 1 is?", "options": "A. 1\nB. 2\nC. 3\nD. 4", "answer": "B. 2"} for i in range(4)]
    (folder / "mmlu_subset.jsonl").write_text("\n".join(map(json.dumps, rows)))
    rows = [{"question": f"Is {i} odd?", "mc1_targets": {"No.": 0, "Yes.": 1}} for i in (1, 3)]
    (folder / "truthfulqa_mc.jsonl").write_text("\n".join(map(json.dumps, rows)))
    rows = [{"question": f"{i} + 1?", "answer": f"{i} + 1 = {i + 1}\n#### {i + 1}"} for i in range(2)]
    (folder / "gsm8k_test.jsonl").write_text("\n".join(map(json.dumps, rows)))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The tables of a build with every study."""
    folder = tmp_path_factory.mktemp("studies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPLORER_RUNS", str(folder / "cache"))
        original = Models.scorer
        patch.setattr(Models, "scorer", lambda self, name: Counting() if name == "demo-cost" else original(self, name))
        write_adapter(folder / "helpful", seed=5)
        write_data(folder / "data")
        config = CONFIG.replace('scorers = ["refusal"]', 'scorers = ["refusal", "demo-cost"]') + STUDIES
        config = config.replace("random_seeds = [0]\n[detail]", "random_seeds = [0, 1]\nanywhere_seeds = [0]\n[detail]")
        config = config.replace("[detail]", "last_layer = true\nwindows = [[0.1, 0.1]]\n[detail]")
        file = write_build(folder, config)
        run = build(read_build_config(file))
        yield tables(run)


def test_every_study_has_its_table(found):
    expected = {"ablation", "answers", "capability", "categories", "categories_answers", "effect", "identification"}
    expected |= {"judges"}
    expected |= {"models", "overlap", "place", "projection", "restoring", "safeguard", "seeds", "shared_neurons"}
    expected |= {"sparsity", "tax", "transfer", "transfer_answers", "words"}
    assert set(found) == expected
    assert all(len(table) for table in found.values())


def test_controls_of_the_causal_effect(found):
    effect = found["effect"]
    assert set(effect["set"]) == {"safety", "random", "anywhere", "last_layer", "window"}
    safety = effect[(effect["suite"] == "redteam_eval") & (effect["set"] == "safety")]
    assert safety["p_cost"].between(0, 1).all()
    assert effect.loc[effect["set"] == "random", "seeds"].eq(2).all()
    assert effect["degenerate"].between(0, 1).all()
    restoring = found["restoring"]
    assert set(restoring["score"]) == {"refusal", "cost"}


def test_transfer_on_itself_is_the_causal_effect_of_the_same_set(found):
    cells = found["transfer"].set_index(["source", "target"])
    assert cells["n"].tolist() == [10] * 4
    assert cells.loc[("everyday", "everyday_eval"), "shared"] == 1
    assert len(found["transfer_answers"]) == 40
    kinds = found["categories"]
    assert kinds["n"].tolist() == [5] * 4
    assert kinds.loc[kinds["source"] == kinds["target"], "shared"].eq(1).all()


def test_the_tax_goes_both_ways(found):
    tax = found["tax"]
    assert set(zip(tax["into"], tax["activations_of"], strict=True)) == {("safety", "helpful"), ("helpful", "safety")}
    assert set(tax["set"]) == {"shared", "random"}
    size = tax[["after", "before"]].abs().max().max()
    assert_close(tax["after"] - tax["before"], tax["delta"], "float64", scale=size)
    shared = found["shared_neurons"]
    assert (shared["same_sign"] == (np.sign(shared["delta_a"]) == np.sign(shared["delta_b"]))).all()


def test_ablation_holds_every_kind_of_value(found):
    ablation = found["ablation"]
    assert set(ablation["value"]) == {"activations of safety", "activations of helpful", "zero", "mean"}
    assert set(ablation.loc[ablation["value"] == "zero", "into"]) == {"safety"}


def test_a_ranking_is_itself(found):
    own = found["identification"].set_index("ranking")
    assert own.loc["safety", "overlap"] == 1
    assert {"difference", "variance"} < set(own.index)
    assert own["n"].eq(8).all()
    seeds = found["seeds"]
    assert ((seeds["a"] == "safety") & (seeds["b"] == "helpful")).all()


def test_place_counts_every_neuron_once(found):
    place = found["place"]
    assert place.groupby("ranking")["neurons"].sum().eq(tiny.LAYERS * tiny.NEURONS).all()
    assert found["sparsity"].groupby("ranking")["energy"].max().le(1).all()


def test_capability_compares_with_m1(found):
    table = found["capability"]
    assert set(table["task"]) == {"wikitext2", "mmlu", "truthfulqa", "gsm8k"}
    m1 = table[table["model"] == "M1"].set_index("task")
    assert m1.loc["wikitext2", "change"] == 1
    assert m1["change"].drop("wikitext2").eq(0).all()
    assert m1["n"].to_dict() == {"wikitext2": 2, "mmlu": 3, "truthfulqa": 2, "gsm8k": 2}


def test_the_safeguard_has_controls(found):
    table = found["safeguard"]
    assert set(table["neurons"]) == {"safety", "random"}
    assert (table["accuracy"].between(0, 1) & table["majority"].between(0.5, 1)).all()
    assert set(table["k"]) == {2, 5}


@pytest.mark.parametrize("pair", [tiny.shared_pair("llama"), tiny.shared_pair("gemma2"), tiny.lockstep_pair()])
def test_what_is_read_equals_a_naive_reading(pair):
    prompts = tiny.PROMPTS[:4]
    ns = NeuronSet.random(pair, 12, seed=1)
    got = last_prompt_activations(pair, prompts, ns, batch_size=3)
    for row, prompt in zip(got, prompts, strict=True):
        naive = naive_activations(pair.m1, pair.encode(prompt))
        expected = [naive[layer][-1, i].item() for layer, i in zip(ns.layers, ns.neurons, strict=True)]
        assert_close(row, expected, layers=pair.n_layers)
    texts = [pair.encode(p) for p in prompts]
    found = token_log_probs(pair, texts, [NeuronSet.empty(pair), NeuronSet.all(pair)], [5, 9])
    for text, own in zip(texts, found.own, strict=True):
        for model, rows in ((pair.m1, (0, 1)), (pair.m2, (3,))):
            ids = np.array(text)
            logs = model(torch.tensor([text])).logits[0].float().log_softmax(-1).detach().numpy()
            for row in rows:
                assert_close(own[row], logs[np.arange(len(ids) - 1), ids[1:]], layers=pair.n_layers)
    assert found.last.shape == (4, 4, 2)


def test_fixed_neurons_are_what_they_are_fixed_at():
    pair = tiny.shared_pair("llama")
    prompts = tiny.PROMPTS[:3]
    plain = answers_with_fixed(pair, prompts, NeuronSet.empty(pair), None, 8)
    assert plain == sweep(pair, prompts, Columns(aligned=False), Decoding(8)).unpatched
    assert answers_with_fixed(pair, prompts, NeuronSet.all(pair), None, 8) != plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("…", True),
        ("I'm sorry, I can't help.", False),
        ("no no no no no no no no no", True),
        ("the way to the house and the way to the house and the way to the house and", True),
        ("A lock has pins of several lengths, and a key lifts each of them to the same height.", False),
    ],
)
def test_degenerate(text, expected):
    assert is_degenerate(text) is expected
