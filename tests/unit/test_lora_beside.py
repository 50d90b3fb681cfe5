"""LoRA beside the weights: what merging gives up to rounding, over one set of weights."""

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model

from explorer import attribute
from explorer.engine.backends.choosing import BACKENDS, read_texts
from explorer.engine.backends.fused_weights import fused_weights
from explorer.engine.contrast import contrast
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reading import TokenText, inputs_of
from explorer.engine.reference import naive_greedy
from explorer.errors import ExplorerError
from explorer.models.describing import reading_key
from explorer.models.layers import neuron_layers
from explorer.models.lora import LoraLinear, base_of
from explorer.models.pair import load_pair
from explorer.models.pair_file import read_pair_file
from explorer.models.pair_spec import PairSpec
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.close import assert_close

IDS = torch.tensor([[5, 60, 70, 80, 90]])
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS = {
    "sft": LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], r=2, lora_alpha=6),
    "dpo": LoraConfig(task_type="CAUSAL_LM", target_modules=ALL, r=4, lora_alpha=2, use_rslora=True),
    "head": LoraConfig(task_type="CAUSAL_LM", target_modules=["down_proj", "lm_head"], alpha_pattern={"lm_head": 1}),
    "pissa": LoraConfig(task_type="CAUSAL_LM", target_modules=["down_proj"], r=2),
    "dora": LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], use_dora=True),
    "whole": LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], modules_to_save=["lm_head"]),
    "ia3": IA3Config(task_type="CAUSAL_LM", target_modules=["down_proj"], feedforward_modules=["down_proj"]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, kind in (("base", "llama"), ("gpt2", "gpt2")):
        tiny.any_model(kind).save_pretrained(folder / name)
        tiny.tokenizer().save_pretrained(folder / name)
    tiny.any_model("llama", 3).save_pretrained(folder / "other")
    tiny.tokenizer().save_pretrained(folder / "other")
    torch.manual_seed(7)
    for name, config in ADAPTERS.items():
        write(folder / name, "llama", config)
    write(folder / "gpt2-lora", "gpt2", LoraConfig(task_type="CAUSAL_LM", target_modules=["c_proj"]))
    settings = (folder / "pissa" / "adapter_config.json").read_text()
    (folder / "pissa" / "adapter_config.json").write_text(
        settings.replace('"init_lora_weights": true', '"init_lora_weights": "pissa"')
    )
    return folder


def write(place, kind: str, config) -> None:
    model = get_peft_model(tiny.any_model(kind), config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.3 * torch.randn(parameter.shape)
    model.save_pretrained(place)


def pair_of(folder, first: list[str], second: list[str], lora: str = "shared", bases: tuple = ("base", "base"), **how):
    lines = [f'lora = "{lora}"\ndtype = "float32"']
    for key, base, names in (("m1", bases[0], first), ("m2", bases[1], second)):
        lines.append(f'[{key}]\nbase = "{base}"\nadapters = {names}')
    path = folder / f"{lora}-{'-'.join((*first, 'and', *second))}.toml"
    path.write_text("\n".join(lines).replace("'", '"'))
    return load_pair(path, **how)


def weights(*models) -> int:
    """Bytes of the parameters of some models; what is shared counts once."""
    storages = [p.untyped_storage() for model in models for p in model.parameters()]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], ["dpo"]),
        (["sft"], ["dpo"]),
        (["sft"], ["sft", "dpo"]),
        ([], ["dpo", "ia3"]),
    ],
)
def test_it_is_the_merged_pair_over_one_set_of_weights(folder, first, second):
    beside, merged = (pair_of(folder, first, second, lora) for lora in ("shared", "merged"))
    untouched = tiny.any_model("llama")
    assert weights(beside.backbone1, beside.backbone2) == weights(untouched)
    assert weights(merged.backbone1, merged.backbone2) == 2 * weights(untouched)
    with torch.inference_mode():
        for ours, theirs in ((beside.m1, merged.m1), (beside.m2, merged.m2)):
            assert_close(ours(IDS).logits, theirs(IDS).logits, layers=tiny.LAYERS)
    assert any("LoRA is computed beside" in note for note in beside.reading.notes)
    layers = zip(neuron_layers(beside.backbone2), neuron_layers(merged.backbone2), strict=True)
    for ours, theirs in layers:
        assert_close(ours.columns([0, 5]), theirs.columns([0, 5]), layers=tiny.LAYERS)


def test_it_answers_as_its_own_naive_form_and_ranks_as_the_merged_one(folder):
    pair = pair_of(folder, ["sft"], ["dpo"])
    ns = NeuronSet.random(pair, 20, seed=1)
    out = sweep(pair, tiny.PROMPTS, Columns([ns]), Decoding(8))
    for prompt, plain, aligned in zip(tiny.PROMPTS, out.unpatched, out.aligned, strict=True):
        ids = pair.encode(prompt)
        assert list(plain.token_ids) == naive_greedy(pair, pair.m1, ids, 8)
        assert list(aligned.token_ids) == naive_greedy(pair, pair.m2, ids, 8)
    merged = pair_of(folder, ["sft"], ["dpo"], "merged")
    assert [a.token_ids for a in sweep(merged, tiny.PROMPTS, Columns([ns]), Decoding(8)).patched[0]] == [
        a.token_ids for a in out.patched[0]
    ]
    for measure in (contrast, attribute):
        scores = [measure(one, tiny.PROMPTS[:2], max_new_tokens=4).scores for one in (pair, merged)]
        assert_close(scores[0], scores[1], layers=tiny.LAYERS, scale=abs(scores[1]).max())


def test_the_fused_loop_multiplies_the_base_once_packed(folder):
    pair = pair_of(folder, ["sft"], ["dpo"])
    first, second = (fused_weights(module) for module in (pair.backbone1, pair.backbone2))
    shared = fused_weights(base_of(pair.backbone1))
    assert base_of(pair.backbone2) is base_of(pair.backbone1)
    for block, one, two in zip(shared.blocks, first.blocks, second.blocks, strict=True):
        assert one.qkv.base is block.qkv
        assert two.qkv.base is block.qkv
        assert one.down is block.down
        assert two.down.base is block.down
    hooked = next(one for one in BACKENDS if one.name == "transformers")
    texts = inputs_of(pair.backbone2, [TokenText(pair.encode(p), []) for p in tiny.PROMPTS[:3]])
    seen: list[dict[int, torch.Tensor]] = [{}, {}]
    with torch.inference_mode():
        for read, found in ((read_texts, seen[0]), (hooked.read, seen[1])):
            read(pair.backbone2, texts, lambda layer, h, found=found: found.update({layer: h.clone()}))
    real = texts["input_ids"] != 0
    for layer, ours in seen[0].items():
        assert_close(ours[real], seen[1][layer][real], layers=tiny.LAYERS)


def test_two_pairs_over_one_base_hold_it_once(folder):
    first, second = pair_of(folder, [], ["dpo"]), pair_of(folder, [], ["sft"])
    assert second.backbone1 is first.backbone1
    models = [m for pair in (first, second) for m in (pair.backbone1, pair.backbone2)]
    assert weights(*models) == weights(tiny.any_model("llama"))


@pytest.mark.parametrize(
    ("first", "second", "bases", "words"),
    [
        ([], ["dora"], ("base", "base"), "use_dora"),
        ([], ["whole"], ("base", "base"), "more than linear maps"),
        ([], ["dpo"], ("other", "base"), "other bases"),
        ([], ["head"], ("base", "base"), "more than linear maps"),
        ([], ["pissa"], ("base", "base"), "began as pissa"),
        ([], ["gpt2-lora"], ("gpt2", "gpt2"), "plain linear maps"),
    ],
)
def test_what_cannot_stay_beside_is_merged_and_said(folder, first, second, bases, words):
    pair = pair_of(folder, first, second, bases=bases)
    said = [note for note in pair.reading.notes if "LoRA is merged" in note]
    assert len(said) == 1
    assert words in said[0]
    assert not any(isinstance(m, LoraLinear) for m in pair.backbone2.modules())


def test_the_setting_is_checked_and_only_another_one_is_another_key(folder):
    path = folder / "wrong.toml"
    path.write_text('lora = "beside"\n[m1]\nbase = "base"\n[m2]\nbase = "base"\n')
    with pytest.raises(ExplorerError, match="lora must be merged or shared, not “beside”"):
        read_pair_file(path)
    with pytest.raises(ExplorerError, match="merged or shared"):
        PairSpec("x", None, None, lora="both")
    merged, shared = (pair_of(folder, [], ["dpo"], lora).spec for lora in ("merged", "shared"))
    assert "lora" not in reading_key(merged)
    assert reading_key(shared)["lora"] == "shared"
