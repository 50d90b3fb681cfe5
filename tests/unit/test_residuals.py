"""The residual stream of every family, against transformers' own hidden states and the naive patch."""

import numpy as np
import pytest
import torch

from explorer.engine.reading import TokenText, inputs_of
from explorer.engine.reference import naive_activations
from explorer.engine.residuals import last_prompt_residuals, readers, residual_hooks, text_residuals
from explorer.errors import ExplorerError
from explorer.models.families import final_norm
from explorer.models.hooks import neuron_hooks
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.close import assert_close

KINDS = tiny.WRITERS
PROMPTS = tiny.PROMPTS[:5]


def hidden_states(model, ids, answer=()):
    """Of each layer [positions, hidden], transformers' own: the last one comes after the final norm."""
    out = model(**inputs_of(model, [TokenText(ids, answer)]), use_cache=False, output_hidden_states=True)
    name = "decoder_hidden_states" if "decoder_hidden_states" in out else "hidden_states"
    return [state[0] for state in out[name]]


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "lockstep"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_transformers_keeps(kind, shared):
    pair = tiny.any_pair(kind, shared)
    ns = NeuronSet.random(pair, 20, seed=1)
    ids = [pair.encode(prompt) for prompt in PROMPTS]
    got = last_prompt_residuals(pair, ids, [ns], batch_size=2)
    decoder = len(pair.parts["decoder"])
    assert got.shape[:3] == (3, decoder + 1, len(PROMPTS))
    for number, prompt in enumerate(ids):
        source, mask = naive_activations(pair.m2, prompt), torch.from_numpy(ns.mask())

        def patch(layer, h, source=source, mask=mask):
            return torch.where(mask[layer], source[layer], h)

        with torch.inference_mode():
            wanted = [hidden_states(pair.m1, prompt), hidden_states(pair.m2, prompt)]
            with neuron_hooks(pair.m1, patch):
                wanted.insert(1, hidden_states(pair.m1, prompt))
        for row, (states, model) in enumerate(zip(wanted, (pair.m1, pair.m1, pair.m2), strict=True)):
            assert_close(got[row, :-1, number], torch.stack([s[-1] for s in states[:-1]]), layers=pair.n_layers)
            with torch.inference_mode():
                last = final_norm(model)(torch.from_numpy(got[row, -1, number]))
            assert_close(last, states[-1][-1], layers=pair.n_layers)
    assert not np.allclose(got[0], got[1])


@pytest.mark.parametrize("kind", ["llama", "falcon", "t5"])
def test_every_position_of_a_text(kind):
    pair = tiny.any_pair(kind)
    text = TokenText(pair.encode("Hi"), [5, 6, 7])
    got = text_residuals(pair, text, [NeuronSet.random(pair, 20, seed=1)])
    with torch.inference_mode():
        wanted = hidden_states(pair.m2, text.prompt, text.answer)
    assert got.shape[2] == len(wanted[0])
    assert_close(got[2, :-1], torch.stack(wanted[:-1]), layers=pair.n_layers)


@pytest.mark.parametrize("kind", ["llama", "falcon", "t5", "opt"])
def test_what_a_visit_returns_takes_its_place(kind):
    pair = tiny.any_pair(kind)
    ids = pair.encode("Hi")
    before = last_prompt_residuals(pair, [ids])[0]
    with residual_hooks(pair.backbone1, lambda layer, r: 2 * r if layer == 1 else None):
        after = last_prompt_residuals(pair, [ids])[0]
    assert_close(after[0], before[0])
    assert not np.allclose(after[2:], before[2:])
    with residual_hooks(pair.backbone1, lambda layer, r: 0 * r if layer == 0 else None):
        assert not np.allclose(last_prompt_residuals(pair, [ids])[0, 1], before[1])
    assert_close(last_prompt_residuals(pair, [ids])[0], before)


def test_nothing_patched_is_m1_and_everything_is_m2():
    pair = tiny.shared_pair()
    everything = NeuronSet.random(pair, pair.total_neurons, seed=0)
    nothing = NeuronSet(np.zeros(0, np.int64), np.zeros(0, np.int64), pair.n_layers, pair.n_neurons)
    got = last_prompt_residuals(pair, [pair.encode(p) for p in PROMPTS], [nothing, everything])
    assert_close(got[1], got[0])
    assert_close(got[2], got[3], layers=pair.n_layers)


def test_models_read_in_order_and_a_classifier_does_not():
    pair = tiny.shared_pair()
    assert [reader.row for reader in readers(pair, [NeuronSet.random(pair, 3)] * 2)] == [3, 0, 1, 2]
    with pytest.raises(ExplorerError, match="classifier"):
        last_prompt_residuals(tiny.any_pair("bert"), [[1, 2]])
    with pytest.raises(ExplorerError, match="no prompts"):
        last_prompt_residuals(pair, [])
