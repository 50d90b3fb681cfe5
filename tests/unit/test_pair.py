"""Pair files and pairs: what peft saved is what runs, one set of weights serves a shared pair."""

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model

from explorer.errors import ExplorerError
from explorer.models.families import down_projections
from explorer.models.hooks import neuron_hooks
from explorer.models.pair import load_pair
from explorer.models.pair_file import read_pair_file
from explorer.neurons.patching import generate
from explorer.neurons.sets import NeuronSet
from tests import tiny

IDS = torch.tensor([[5, 60, 70, 80, 90]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two local checkpoints and two adapters, saved by transformers and peft."""
    folder = tmp_path_factory.mktemp("models")
    for name, seed in (("base", 0), ("tuned", 1)):
        tiny.model("llama", seed).save_pretrained(folder / name)
        tiny.tokenizer().save_pretrained(folder / name)
    torch.manual_seed(7)
    ia3 = get_peft_model(
        tiny.model("llama"),
        IA3Config(task_type="CAUSAL_LM", target_modules=["down_proj"], feedforward_modules=["down_proj"]),
    )
    lora = get_peft_model(
        tiny.model("llama"), LoraConfig(task_type="CAUSAL_LM", target_modules=["down_proj", "q_proj"])
    )
    for model, name in ((ia3, "ia3"), (lora, "lora")):
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.3 * torch.randn(parameter.shape)
        model.save_pretrained(folder / name)
        torch.save(model(IDS).logits, folder / f"{name}.logits")
    return folder


def pair_file(folder, m1: str = 'base = "base"', m2: str = 'base = "base"', top: str = ""):
    path = folder / "pair.toml"
    path.write_text(f'dtype = "float32"\n{top}\n[m1]\n{m1}\n[m2]\n{m2}\n')
    return path


@pytest.mark.parametrize(("adapter", "shared"), [("ia3", True), ("lora", False)])
def test_an_adapter_saved_by_peft_gives_peft_s_logits(folder, adapter, shared):
    pair = load_pair(pair_file(folder, m2=f'base = "base"\nadapters = ["{adapter}"]'))
    expected = torch.load(folder / f"{adapter}.logits", weights_only=True)
    with torch.inference_mode():
        torch.testing.assert_close(pair.m2(IDS).logits, expected, rtol=1e-4, atol=1e-4)
        plain = tiny.model("llama")(IDS).logits
        torch.testing.assert_close(pair.m1(IDS).logits, plain)
    assert pair.shared is shared


def test_a_shared_pair_holds_one_set_of_weights(folder):
    pair = load_pair(pair_file(folder, m2='base = "base"\nadapters = ["ia3"]'))
    places = [{p.data_ptr() for p in m.parameters()} for m in (pair.m1, pair.m2, pair.backbone1)]
    assert places[0] == places[1] == places[2]


def test_neurons_are_what_down_proj_receives_after_the_scale(folder):
    pair = load_pair(pair_file(folder, m2='base = "base"\nadapters = ["ia3"]'))
    seen = {}
    for name, model in (("m1", pair.m1), ("m2", pair.m2)):
        with (
            torch.inference_mode(),
            neuron_hooks(model, lambda layer, h, n=name: seen.setdefault((n, layer), h.clone())),
        ):
            model(IDS)
    assert not torch.equal(seen["m1", 0], seen["m2", 0])
    torch.testing.assert_close(seen["m2", 0], seen["m1", 0] * pair.scale2[0])


def test_two_checkpoints_run_in_lockstep(folder):
    pair = load_pair(pair_file(folder, m2='base = "tuned"'))
    assert not pair.shared
    out = generate(pair, ["Hello"], NeuronSet.empty(pair), 6)
    assert out.patched == out.unpatched


def test_two_adapters_in_order_multiply(folder):
    once = load_pair(pair_file(folder, m2='base = "base"\nadapters = ["ia3"]'))
    twice = load_pair(pair_file(folder, m2='base = "base"\nadapters = ["ia3", "ia3"]'))
    torch.testing.assert_close(twice.scale2[0], once.scale2[0] ** 2)


def test_stop_tokens_are_those_of_generate(folder):
    assert load_pair(pair_file(folder)).stop_ids == {257}


@pytest.mark.parametrize(
    ("m2", "top", "words"),
    [
        ('base = "nowhere/at-all-here"', "", "could not be loaded"),
        ('base = "base"\nadapters = ["base"]', "", "adapter_config"),
        ('base = "base"\nadapters = ["lost"]', "", "neither a folder"),
        ('base = "base"\nadapters = "ia3"', "", "list"),
        ('base = "base"\nrevision = "x"', "", "unknown setting"),
        ("", "", "must have a table"),
        ('base = "base"', 'colour = "red"', "unknown setting"),
        ('base = "embedded:gpt-5"', "", "no embedded model"),
        ('base = "base"\nadapters = ["ia3", "lora"]', "", "merged into the weights first"),
    ],
)
def test_a_wrong_pair_file_is_one_sentence(folder, monkeypatch, m2, top, words):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ExplorerError, match=words) as caught:
        load_pair(pair_file(folder, m2=m2, top=top))
    assert "\n" not in str(caught.value)


def test_models_of_different_shape_are_refused(folder, tmp_path):
    config = tiny.model("llama").config
    config.intermediate_size = 12
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "narrow")
    tiny.tokenizer().save_pretrained(tmp_path / "narrow")
    with pytest.raises(ExplorerError, match="one shape"):
        load_pair(pair_file(folder, m2=f'base = "{tmp_path / "narrow"}"'))


def test_different_tokenisers_are_refused(folder, tmp_path):
    tiny.model("llama").save_pretrained(tmp_path / "other")
    other = tiny.tokenizer()
    other.add_tokens(["hello"])
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ExplorerError, match="different tokenisers"):
        load_pair(pair_file(folder, m2=f'base = "{tmp_path / "other"}"'))


def test_unknown_families_are_refused():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=1, n_embd=8, vocab_size=20))
    with pytest.raises(ExplorerError, match="gpt2"):
        down_projections(model)


def test_dtype_is_checked(folder):
    with pytest.raises(ExplorerError, match="int8"):
        load_pair(pair_file(folder), dtype="int8")


def test_the_demo_pair_file_is_found_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    spec = read_pair_file("demo")
    assert spec.m1.base == spec.m2.base
    with pytest.raises(ExplorerError, match="demo"):
        read_pair_file("nothing")
