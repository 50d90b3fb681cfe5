"""Pair files and pairs: what peft saved is what runs, one set of weights serves a shared pair."""

from types import SimpleNamespace

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model

from explorer.engine.patching import generate
from explorer.engine.reading import TokenText, inputs_of
from explorer.errors import ExplorerError
from explorer.models import placing
from explorer.models.hooks import neuron_hooks
from explorer.models.loader import Loader, reads_one_kv_head_on_gpu
from explorer.models.pair import load_pair
from explorer.models.pair_file import read_pair_file
from explorer.models.weight_size import weight_bytes
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.close import assert_close

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
        assert_close(pair.m2(IDS).logits, expected, layers=tiny.LAYERS)
        plain = tiny.model("llama")(IDS).logits
        assert_close(pair.m1(IDS).logits, plain, layers=tiny.LAYERS)
    assert pair.shared is shared


def test_a_shared_pair_holds_one_set_of_weights(folder):
    pair = load_pair(pair_file(folder, m2='base = "base"\nadapters = ["ia3"]'))
    places = [{p.data_ptr() for p in m.parameters()} for m in (pair.m1, pair.m2, pair.backbone1)]
    assert places[0] == places[1] == places[2]


def storage_bytes(*models) -> int:
    """Bytes of memory that the weights of some models take together; what is shared counts once."""
    storages = [t.untyped_storage() for m in models for t in [*m.parameters(), *m.buffers()]]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


def test_an_ia3_only_pair_takes_the_memory_of_one_model(folder):
    one = storage_bytes(tiny.model("llama"))
    pair = load_pair(pair_file(folder, m2='base = "base"\nadapters = ["ia3"]'))
    generate(pair, ["Hello"], NeuronSet.random(pair, 9), 4)
    assert storage_bytes(pair.m1, pair.m2, pair.backbone1, pair.backbone2) == one
    two = load_pair(pair_file(folder, m2='base = "base"\nadapters = ["lora"]'))
    assert storage_bytes(two.m1, two.m2, two.backbone1, two.backbone2) == 2 * one


@pytest.mark.parametrize(
    ("kind", "down"),
    [
        ("gpt2", "mlp.c_proj"),
        ("gpt_neox", "dense_4h_to_h"),
        ("opt", "fc2"),
        ("falcon", "dense_4h_to_h"),
        ("t5", "wo"),
        ("bert", r".*layer\.\d+\.output\.dense"),
    ],
)
def test_an_ia3_adapter_of_every_family_gives_peft_s_activations(tmp_path, kind, down):
    tiny.any_model(kind).save_pretrained(tmp_path / "base")
    tiny.tokenizer().save_pretrained(tmp_path / "base")
    names = down if kind == "bert" else [down]
    tuned = get_peft_model(
        tiny.any_model(kind),
        IA3Config(task_type=None, target_modules=names, feedforward_modules=names),
    )
    torch.manual_seed(3)
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data += 0.3 * torch.randn(parameter.shape)
    tuned.save_pretrained(tmp_path / "ia3")
    pair = load_pair(pair_file(tmp_path, m2='base = "base"\nadapters = ["ia3"]'))
    inputs = inputs_of(pair.backbone1, [TokenText([5, 60, 70], [80, 90])])
    assert pair.shared
    assert pair.kind == {"t5": "encoder-decoder", "bert": "encoder"}.get(kind, "decoder")
    with torch.inference_mode():
        assert_close(pair.m2(**inputs).logits, tuned.eval()(**inputs).logits, layers=pair.n_layers)
        assert not torch.allclose(pair.m1(**inputs).logits, pair.m2(**inputs).logits)


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
    assert_close(seen["m2", 0], seen["m1", 0] * pair.scale2[0])


def test_two_checkpoints_run_in_lockstep(folder):
    pair = load_pair(pair_file(folder, m2='base = "tuned"'))
    assert not pair.shared
    out = generate(pair, ["Hello"], NeuronSet.empty(pair), 6)
    assert out.patched == out.unpatched


def test_two_adapters_in_order_multiply(folder):
    once = load_pair(pair_file(folder, m2='base = "base"\nadapters = ["ia3"]'))
    twice = load_pair(pair_file(folder, m2='base = "base"\nadapters = ["ia3", "ia3"]'))
    assert_close(twice.scale2[0], once.scale2[0] ** 2)


def test_stop_tokens_are_those_of_generate(folder):
    assert load_pair(pair_file(folder)).stop_ids == {257}


@pytest.mark.parametrize(
    ("m2", "top", "words"),
    [
        ('base = "nowhere/at-all-here"', "", "could not be loaded"),
        ('base = "base"\nadapters = ["base"]', "", "adapter_config"),
        ('base = "base"\nadapters = ["lost"]', "", "neither a folder"),
        ('base = "base"\nadapters = "ia3"', "", "list"),
        ('base = "base"\nrevision = "x"', "", "only a hub id"),
        ('base = "base"\nrevison = "x"', "", "unknown setting"),
        ("", "", "must have a table"),
        ('base = "base"', 'colour = "red"', "unknown setting"),
        ('base = "embedded:gpt-5"', "", "no embedded model"),
        ('base = "base"\nadapters = ["ia3", "lora"]', "", "merged into the weights first"),
        ('base = "base"', 'quantisation = "3bit"', "8bit or 4bit"),
        ('base = "base"', 'quantisation = "4bit"', "bitsandbytes"),
        ('base = "base"', 'device_map = "everywhere"', "device_map must be"),
        ('base = "base"', 'device = "cpu"\ndevice_map = "auto"', "both device and device_map"),
        ('base = "base"', 'chat_template = "lost.jinja"', "a Jinja file"),
        ('base = "base"', "chat_template = 'broken.jinja'", "not valid Jinja"),
        ('base = "base"', "chat_template = 'mute.jinja'", "drops the user's message"),
    ],
)
def test_a_wrong_pair_file_is_one_sentence(folder, monkeypatch, m2, top, words):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (folder / "broken.jinja").write_text("{% for %}")
    (folder / "mute.jinja").write_text("Hello")
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
    for name, word in (("base", "goodbye"), ("other", "hello")):
        tiny.model("llama").save_pretrained(tmp_path / name)
        own = tiny.tokenizer()
        own.add_tokens([word])
        own.save_pretrained(tmp_path / name)
    with pytest.raises(ExplorerError, match="different tokenisers"):
        load_pair(pair_file(tmp_path, m2='base = "other"'))


def test_where_and_how_weights_are_loaded_is_said_to_from_pretrained(monkeypatch):
    assert Loader("bfloat16", "cpu").options() == {"dtype": torch.bfloat16}
    assert Loader("bfloat16", "auto").options()["device_map"] == "auto"
    by_name = {"model.layers.0": 0, "": "cpu"}
    assert Loader("float16", "cpu", by_name).options()["device_map"] == by_name
    monkeypatch.setattr("explorer.models.loader.find_spec", lambda name: name)
    eight = Loader("float16", "cuda:0", None, "8bit").options()
    assert eight["quantization_config"].load_in_8bit
    assert eight["device_map"] == {"": "cuda:0"}  # a quantised model cannot be moved afterwards
    four = Loader("bfloat16", "auto", None, "4bit").options()
    assert four["quantization_config"].load_in_4bit
    assert four["quantization_config"].bnb_4bit_quant_type == "nf4"
    assert four["quantization_config"].bnb_4bit_compute_dtype == torch.bfloat16
    assert four["device_map"] == "auto"


@pytest.mark.parametrize(
    ("gpus", "free", "place"),
    [
        ((), 10**9, "cpu"),
        ((), 1000, None),
        ((10**9,), 0, "cuda:0"),
        ((10**5, 10**9), 0, "cuda:1"),
        ((1000, 1000), 10**9, None),
    ],
    ids=["no GPU", "no room at all", "one", "the emptiest", "too large for one"],
)
def test_auto_is_the_one_device_that_takes_the_whole_model(folder, monkeypatch, gpus, free, place):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpus))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gpus))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (gpus[index], 10**12))
    monkeypatch.setattr(placing.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    assert placing.whole_device(folder / "base", "float32") == place


def test_weights_are_counted_in_the_type_that_they_will_have(folder):
    whole = weight_bytes(folder / "base", "float32")
    assert whole == sum(file.stat().st_size for file in (folder / "base").glob("*.safetensors"))
    assert weight_bytes(folder / "base", "bfloat16") == whole / 2


def test_a_device_map_is_read_and_used(folder):
    path = pair_file(folder, top='[device_map]\n"" = "cpu"')
    assert read_pair_file(path).device_map == {"": "cpu"}
    assert load_pair(path).backbone1.device.type == "cpu"


def test_the_chat_template_is_the_own_one_tulu_or_a_file(folder, tmp_path):
    assert load_pair(pair_file(folder)).render("Hi") == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    tulu = load_pair(pair_file(folder, top='chat_template = "tulu"'))
    assert tulu.render("Hi") == "<|im_start|><|user|>\nHi\n<|assistant|>\n"  # the first is this tokeniser's BOS
    assert tulu.encode("Hi").count(256) == 1
    (folder / "qa.jinja").write_text("Q: {{ messages[0]['content'] }}\nA:")
    assert load_pair(pair_file(folder, top='chat_template = "qa.jinja"')).render("Hi") == "Q: Hi\nA:"


def test_a_base_model_without_a_template_takes_m2_s(folder, tmp_path):
    tiny.model("llama").save_pretrained(tmp_path / "plain")
    plain = tiny.tokenizer()
    plain.chat_template = None
    plain.save_pretrained(tmp_path / "plain")
    pair = load_pair(pair_file(folder, m1=f'base = "{tmp_path / "plain"}"', m2='base = "tuned"'))
    assert pair.render("Hi").startswith("<|im_start|>user")


def test_dtype_is_checked(folder):
    with pytest.raises(ExplorerError, match="int8"):
        load_pair(pair_file(folder), dtype="int8")


def test_the_demo_pair_file_is_found_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    spec = read_pair_file("demo")
    assert spec.m1.base == spec.m2.base
    with pytest.raises(ExplorerError, match="demo"):
        read_pair_file("nothing")


def test_one_kv_head_on_a_gpu_is_not_read_by_sdpa() -> None:
    """Only what is asked of a model: there is no GPU here."""
    model = tiny.model("llama")
    assert model.config.num_key_value_heads == 1
    assert not reads_one_kv_head_on_gpu(model)
    moved = SimpleNamespace(
        config=model.config, parameters=lambda: [SimpleNamespace(device=SimpleNamespace(type="cuda"))]
    )
    assert reads_one_kv_head_on_gpu(moved)
    moved.config = SimpleNamespace(
        get_text_config=lambda: SimpleNamespace(num_attention_heads=9, num_key_value_heads=3)
    )
    assert not reads_one_kv_head_on_gpu(moved)
