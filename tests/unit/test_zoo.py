"""One type of each way in which models keep neurons and state: right in every respect, or refused in one sentence.

All types that transformers builds are tried by `tests/slow/test_zoo.py`; `docs/models.md` is what comes of it.
"""

from pathlib import Path

import pytest
import torch
import transformers

from explorer.engine.backends import hooked
from explorer.engine.backends.caching import caches_rows
from explorer.engine.backends.choosing import begin
from explorer.engine.backends.hooked import HookedPass, LevelPass
from explorer.engine.backends.recomputing import RecomputingPass
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.errors import ExplorerError
from explorer.models.checking import check_structure
from explorer.models.families import family_of
from explorer.models.hooks import neuron_hooks
from explorer.models.layers import neuron_layers
from explorer.models.ragged import own_width
from explorer.neurons.sets import NeuronSet
from tests import zoo
from tests.zoo_checks import RIGHT, WRONG, check_all, check_answers, read_page, verdict, zoo_pair

KINDS = {
    "starcoder2": "a plain MLP under another name",
    "gemma3": "a text model in one that also sees",
    "qwen3_5_text": "linear attention, whose state follows its rows",
    "rwkv": "a state of its own, read anew at every step",
    "nemotron_h": "blocks without an MLP, and experts without a gate",
    "gpt_oss": "transposed experts with biases",
    "llama4_text": "experts that are each given every token, a shared one beside them",
    "granitemoeshared": "experts and a shared MLP that meet in the block itself",
    "deepseek_v3": "a dense layer before sparse ones",
    "modernbert-decoder": "a transform before the unembedding",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_type_is_right(kind):
    model = zoo.tiny_model(kind)
    check_structure(model)
    check_all(model)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("mamba", "no MLP"),
        ("longcat_flash", "experts in mlp.experts in a form that is not read"),
        ("hrm_text", "passes through once"),
        ("roberta", "count the positions"),
    ],
)
def test_a_type_is_refused_in_one_sentence(kind, why):
    found = verdict(kind)
    assert found.outcome == "refused"
    assert why in found.reason
    assert found.reason.endswith(".")
    assert "\n" not in found.reason


def test_a_cache_is_used_where_its_rows_can_be_chosen():
    for kind, cached in (("qwen3_5_text", True), ("olmo_hybrid", True), ("rwkv", False)):
        model = zoo.tiny_model(kind)
        assert caches_rows(model) == cached, kind
        assert isinstance(begin(model, 8), HookedPass if cached else RecomputingPass)


@pytest.mark.parametrize("kind", ["marian", "mbart", "pegasus"])
def test_a_decoder_that_counts_padding_as_positions_has_a_cache_for_texts_of_one_length(kind, monkeypatch):
    model = zoo.tiny_model(kind)
    assert isinstance(begin(model, 8), LevelPass)
    pair = zoo_pair(model, shared=False)
    level = ["How?", "Why?", "Who?"]
    assert len({len(pair.encode(prompt)) for prompt in level}) == 1
    asked = Columns([NeuronSet.random(pair, pair.total_neurons // 4, seed=seed) for seed in range(3)])

    def answers() -> list:
        return [sweep(pair, prompts, asked, Decoding(6)) for prompts in (level, level[:1])]

    found = answers()
    monkeypatch.setattr(RecomputingPass, "forward", lambda *_: pytest.fail("read anew"))
    assert answers() == found, "no text of one length is read anew"
    monkeypatch.undo()
    monkeypatch.setattr(hooked, "caches_level_rows", lambda _module: False)
    assert isinstance(begin(model, 8), RecomputingPass)
    assert answers() == found
    check_answers(pair)


def test_layers_of_unlike_width_are_padded_and_what_is_not_there_stays_out():
    model = zoo.tiny_model("nemotron_h")
    pair = zoo_pair(model, shared=True)
    assert pair.widths == tuple(own_width(layer) for layer in neuron_layers(model))
    assert pair.widths[0] == 0
    assert pair.total_neurons == sum(pair.widths) < pair.n_layers * pair.n_neurons

    every = NeuronSet.all(pair)
    assert len(every) == pair.total_neurons
    assert every.per_layer().tolist() == list(pair.widths)
    drawn = NeuronSet.random(pair, pair.total_neurons, seed=0)
    assert drawn == every
    with pytest.raises(ExplorerError, match=r"layer 3 of this model has 24 neurons"):
        NeuronSet.from_pairs([(3, 24)], pair)

    def spoil(layer: int, h: torch.Tensor) -> None:
        h[..., pair.widths[layer] :] = 7.0

    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        with neuron_hooks(model, lambda _layer, _h: None):
            plain = model(ids, use_cache=False).logits
        with neuron_hooks(model, spoil):
            assert torch.equal(model(ids, use_cache=False).logits, plain)


def test_a_ranking_of_unlike_layers_ranks_what_there_is():
    import explorer

    pair = zoo_pair(zoo.tiny_model("jamba"), shared=True)
    changes = explorer.contrast(pair, ["Why?"], max_new_tokens=3)
    assert len(changes.order) == changes.total_neurons == pair.total_neurons
    chosen = changes.top(fraction=0.5)
    assert (chosen.neurons < torch.tensor(pair.widths).numpy()[chosen.layers]).all()
    control = NeuronSet.random_like(changes.top(fraction=0.1), pair, seed=0)
    assert control.widths == pair.widths


def test_the_page_names_every_type():
    page, kinds = read_page(Path("docs/models.md")), set(zoo.types())
    if f"transformers=={transformers.__version__}\n" in Path("requirements.txt").read_text():
        assert set(page) == kinds
    # A newer transformers knows more, which people then bring: as the page promises, right or refused in one sentence.
    assert [found for kind in sorted(kinds - set(page)) if (found := verdict(kind)).outcome == WRONG] == []
    assert {kind for kind in KINDS if page[kind].outcome != RIGHT} == set()


def test_a_model_within_another_is_found_at_its_text_model():
    family = family_of(zoo.tiny_model("gemma3"))
    assert family.layers == "model.language_model.layers"
    assert family.norm == "model.language_model.norm"
