"""What people bring: pairs as they lie on disks and hubs, each with what comes of it and the sentence that says so.

Each row of `REFUSED` makes a pair of tiny real models in a folder and says which words must be in the one sentence
that refuses it; each row of `TAKEN` makes one that is right and says what it must do.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import IA3Config, LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file

from explorer import cli
from explorer.engine.contrast import contrast
from explorer.engine.fixing import answers_with_fixed
from explorer.engine.patching import generate
from explorer.errors import ExplorerError
from explorer.models.pair import load_pair
from explorer.neurons.sets import NeuronSet
from tests import tiny, tiny_adapter

IDS = torch.tensor([[5, 60, 70, 80, 90]])
PROMPTS = ["How do I pick a lock?", "Hi"]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Two checkpoints with their tokeniser, and an adapter, to be copied and damaged."""
    folder = tmp_path_factory.mktemp("originals")
    for name, seed in (("base", 0), ("tuned", 1)):
        tiny.model("llama", seed).save_pretrained(folder / name)
        tiny.tokenizer().save_pretrained(folder / name)
    tiny_adapter.write(folder / "ia3", folder / "base")
    return folder


@pytest.fixture
def place(originals, tmp_path):
    for name in ("base", "tuned", "ia3"):
        shutil.copytree(originals / name, tmp_path / name)
    return tmp_path


def write_pair(
    place: Path, m2: str = 'base = "tuned"', top: str = "", m1: str = 'base = "base"', dtype: str = "float32"
) -> Path:
    path = place / "pair.toml"
    path.write_text(f'dtype = "{dtype}"\n{top}\n[m1]\n{m1}\n[m2]\n{m2}\n', encoding="utf-8")
    return path


def edit_json(file: Path, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_weights(folder: Path, change: Callable[[dict], dict], name: str = "model.safetensors") -> None:
    save_file(change(load_file(folder / name)), folder / name, metadata={"format": "pt"})


def lora(place: Path, model=None, name: str = "lora", **options) -> Path:
    """A trained LoRA adapter of the base."""
    torch.manual_seed(7)
    settings = {"task_type": "CAUSAL_LM", "target_modules": ["down_proj", "q_proj"]} | options
    wrapped = get_peft_model(model or tiny.model("llama"), LoraConfig(**settings))
    for key, parameter in wrapped.named_parameters():
        if "lora_" in key:
            parameter.data += 0.3 * torch.randn(parameter.shape)
    wrapped.save_pretrained(place / name)
    torch.save(wrapped.eval()(IDS).logits, place / f"{name}.logits")
    return place / name


def ia3(place: Path, name: str, **options) -> Path:
    """A trained (IA)³ adapter of the base by peft."""
    torch.manual_seed(7)
    wrapped = get_peft_model(tiny.model("llama"), IA3Config(task_type="CAUSAL_LM", **options))
    for key, parameter in wrapped.named_parameters():
        if "ia3_l" in key:
            parameter.data += 0.3 * torch.randn(parameter.shape)
    wrapped.save_pretrained(place / name)
    torch.save(wrapped.eval()(IDS).logits, place / f"{name}.logits")
    return place / name


WITH_LORA = 'base = "base"\nadapters = ["lora"]'
WITH_IA3 = 'base = "base"\nadapters = ["ia3"]'


@dataclass(frozen=True)
class Case:
    """A pair and what is said of it.

    Attributes:
        name: of the case.
        make: writes the pair into a folder that holds `base`, `tuned` and `ia3`; gives its file.
        words: that the sentence must have, in order, `.*` between them.
        use: what is done with the pair, if it is loaded.
    """

    name: str
    make: Callable[[Path], Path]
    words: str
    use: Callable = lambda pair: None


def renamed_lora(place: Path) -> Path:
    folder = lora(place)
    edit_weights(
        folder,
        lambda t: {k.replace("model.model.", "model.language_model.model."): v for k, v in t.items()},
        "adapter_model.safetensors",
    )
    return write_pair(place, WITH_LORA)


def incomplete_lora(place: Path) -> Path:
    folder = lora(place)
    edit_weights(folder, lambda t: {k: v for k, v in t.items() if "layers.1." not in k}, "adapter_model.safetensors")
    return write_pair(place, WITH_LORA)


def wider_lora(place: Path) -> Path:
    lora(place, tiny.any_model("llama", intermediate_size=40))
    return write_pair(place, WITH_LORA)


def nan_lora(place: Path) -> Path:
    folder = lora(place)
    edit_weights(folder, lambda t: {k: v * torch.nan for k, v in t.items()}, "adapter_model.safetensors")
    return write_pair(place, WITH_LORA)


def edited(change: Callable[[dict], dict], folder: str = "tuned") -> Callable[[Path], Path]:
    """A pair whose M2 has had its weights changed."""

    def make(place: Path) -> Path:
        edit_weights(place / folder, change)
        return write_pair(place)

    return make


def adapter_edited(change: Callable[[dict], dict]) -> Callable[[Path], Path]:
    def make(place: Path) -> Path:
        edit_weights(place / "ia3", change, "adapter_model.safetensors")
        return write_pair(place, WITH_IA3)

    return make


def configured(folder: str, file: str, m2: str = 'base = "tuned"', **changes) -> Callable[[Path], Path]:
    def make(place: Path) -> Path:
        edit_json(place / folder / file, **changes)
        return write_pair(place, m2)

    return make


def written(file: str, content: bytes | None, m2: str = 'base = "tuned"') -> Callable[[Path], Path]:
    """A pair of which one file is another (None: is gone)."""

    def make(place: Path) -> Path:
        if content is None:
            (place / file).unlink()
        else:
            (place / file).write_bytes(content)
        return write_pair(place, m2)

    return make


def said(m2: str = 'base = "tuned"', top: str = "", m1: str = 'base = "base"', dtype: str = "float32"):
    return lambda place: write_pair(place, m2, top, m1, dtype)


def pickled(place: Path) -> Path:
    torch.save({}, place / "tuned" / "pytorch_model.bin")
    (place / "tuned" / "model.safetensors").unlink()
    return write_pair(place)


def pickled_adapter(place: Path) -> Path:
    torch.save({}, place / "ia3" / "adapter_model.bin")
    (place / "ia3" / "adapter_model.safetensors").unlink()
    return write_pair(place, WITH_IA3)


def cut_off(file: str, m2: str = 'base = "tuned"') -> Callable[[Path], Path]:
    def make(place: Path) -> Path:
        whole = (place / file).read_bytes()
        (place / file).write_bytes(whole[: len(whole) * 2 // 3])
        return write_pair(place, m2)

    return make


def lost_shard(place: Path) -> Path:
    tiny.model("llama", 1).save_pretrained(place / "tuned", max_shard_size="8KB")
    (place / "tuned" / "model.safetensors").unlink(missing_ok=True)
    sorted((place / "tuned").glob("model-0*.safetensors"))[1].unlink()
    return write_pair(place)


def prompt_tuning(place: Path) -> Path:
    settings = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    get_peft_model(tiny.model("llama"), settings).save_pretrained(place / "lora")
    return write_pair(place, WITH_LORA)


def own_code(place: Path) -> Path:
    edit_json(
        place / "tuned" / "config.json",
        model_type="mine",
        architectures=["Mine"],
        auto_map={"AutoConfig": "configuration_mine.Mine", "AutoModelForCausalLM": "modeling_mine.Mine"},
    )
    for name in ("configuration_mine.py", "modeling_mine.py"):
        (place / "tuned" / name).write_text("raise SystemExit('code was run')\n")
    return write_pair(place)


def other_numbers(place: Path) -> Path:
    for folder, word in (("base", "one"), ("tuned", "two")):
        tokenizer = tiny.tokenizer()
        tokenizer.add_tokens([word])
        tokenizer.save_pretrained(place / folder)
    return write_pair(place)


def template_beyond(place: Path) -> Path:
    """M2's own chat tokens, for which M1, the base model, has no embedding."""
    model, tokenizer = tiny.model("llama", 1), tiny.tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|turn|>", "<|more|>"]})
    tokenizer.chat_template = "<|turn|>{{ messages[0]['content'] }}"
    model.resize_token_embeddings(262, mean_resizing=False)
    small = tiny.model("llama", 0)
    small.resize_token_embeddings(259, mean_resizing=False)
    small.save_pretrained(place / "base")
    model.save_pretrained(place / "tuned")
    tokenizer.save_pretrained(place / "tuned")
    return write_pair(place)


def wider_stream(place: Path) -> Path:
    tiny.any_model("llama", 1, hidden_size=32).save_pretrained(place / "tuned")
    return write_pair(place)


def no_default_template(place: Path) -> Path:
    tokenizer = tiny.tokenizer()
    (place / "tuned" / "chat_template.jinja").unlink()
    tokenizer.chat_template = {"chat": "{{ messages[0]['content'] }}", "tools": "{{ messages[0]['content'] }}"}
    tokenizer.save_pretrained(place / "tuned")
    return write_pair(place)


def same_model(place: Path) -> Path:
    return write_pair(place, 'base = "base"')


def copied_model(place: Path) -> Path:
    shutil.copytree(place / "base", place / "copy")
    return write_pair(place, 'base = "copy"')


def untrained_lora(place: Path) -> Path:
    get_peft_model(tiny.model("llama"), LoraConfig(task_type="CAUSAL_LM")).save_pretrained(place / "lora")
    return write_pair(place, WITH_LORA)


def answer(pair) -> None:
    generate(pair, PROMPTS, NeuronSet.random(pair, 9), 4)


def rank(pair) -> None:
    contrast(pair, PROMPTS, 4)


def poison(key: str, value: float) -> Callable[[dict], dict]:
    def change(tensors: dict) -> dict:
        tensors[key] = tensors[key].clone()
        tensors[key].flatten()[0] = value
        return tensors

    return change


def big(tensors: dict) -> dict:
    """Activations beyond float16's 65,504."""
    return {k: v * (400 if "up_proj" in k or "gate_proj" in k else 1) for k, v in tensors.items()}


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
DOWN = "model.layers.1.mlp.down_proj.weight"

REFUSED = [
    Case("a LoRA whose keys are another model's", renamed_lora, r"lora (lacks|holds) .*(layers|language_model)"),
    Case("a LoRA that lacks a layer", incomplete_lora, r"lora lacks .*layers\.1\."),
    Case("a LoRA of a wider model", wider_lora, r"does not fit its base model.*(size|shape)"),
    Case("a LoRA of NaN", nan_lora, r"NaN or infinite"),
    Case(
        "a checkpoint whose keys are renamed",
        edited(lambda t: {k.replace("mlp", "ffn"): v for k, v in t.items()}),
        r"“.*tuned” lacks .*mlp.*random.*ffn",
    ),
    Case(
        "a checkpoint that lacks a weight",
        edited(lambda t: {k: v for k, v in t.items() if k != DOWN}),
        r"lacks model\.layers\.1\.mlp\.down_proj\.weight",
    ),
    Case(
        "a checkpoint without its head, which is not tied",
        edited(lambda t: {k: v for k, v in t.items() if k != "lm_head.weight"}),
        r"lacks lm_head\.weight",
    ),
    Case(
        "a checkpoint with a layer more than its settings say",
        configured("tuned", "config.json", num_hidden_layers=2),
        r"has model\.layers\.2\..*left out",
    ),
    Case("a checkpoint of another width", configured("tuned", "config.json", intermediate_size=30), r"another size"),
    Case("NaN in a weight", edited(poison(DOWN, np.nan)), r"M2's activations are NaN or infinite from layer 2", rank),
    Case("NaN in a weight, answered", edited(poison(DOWN, np.nan)), r"M2's activations are NaN or infinite", answer),
    Case("infinite gates in M1", edited(poison(DOWN.replace("down", "gate"), np.inf), "base"), r"M1's.*layer 1", rank),
    Case(
        "activations that float16 cannot hold",
        lambda place: [edit_weights(place / "tuned", big), write_pair(place, dtype="float16")][1],
        r"M2's activations are NaN or infinite from layer \d.*bfloat16 or float32",
        rank,
    ),
    Case("NaN factors", adapter_edited(lambda t: {k: v * torch.nan for k, v in t.items()}), r"NaN or infinite"),
    Case("one model twice", same_model, r"do the same on these prompts", rank),
    Case("a copy of the same model", copied_model, r"do the same on these prompts", rank),
    Case("a LoRA that was never trained", untrained_lora, r"do the same on these prompts", rank),
    Case(
        "factors that are all one",
        adapter_edited(lambda t: {k: v * 0 + 1 for k, v in t.items()}),
        r"do the same on these prompts",
        rank,
    ),
    Case(
        "(IA)³ of another model's names",
        adapter_edited(lambda t: {k.replace("model.model.", "model.language_model."): v for k, v in t.items()}),
        r"scales .*language_model.*has not",
    ),
    Case(
        "(IA)³ that lacks a layer which its settings name",
        adapter_edited(lambda t: {k: v for k, v in t.items() if "layers.1." not in k}),
        r"no factors for model\.layers\.1",
    ),
    Case(
        "(IA)³ whose settings say that it scales outputs",
        configured("ia3", "adapter_config.json", WITH_IA3, feedforward_modules=[]),
        r"feedforward_modules contradict",
    ),
    Case(
        "an adapter of a kind that is not known",
        configured("ia3", "adapter_config.json", WITH_IA3, peft_type="MAGIC"),
        r"MAGIC, which the installed peft does not know",
    ),
    Case("prompt tuning", prompt_tuning, r"prompt tuning.*adds tokens"),
    Case(
        "a reward model in place of a language model",
        edited(lambda t: t | {"score.weight": torch.zeros(1, 16)}),
        r"score\.weight: it is a classifier or a reward model",
    ),
    Case("a model whose layers write to a wider stream", wider_stream, r"M1 has the hidden size 16 and M2 32"),
    Case("a folder with no adapter", said('base = "base"\nadapters = ["tuned"]'), r"no adapter_config\.json"),
    Case("an adapter as base", said('base = "ia3"'), r"is an adapter and no whole model"),
    Case(
        "an adapter's settings that are no JSON", written("ia3/adapter_config.json", b"{", WITH_IA3), "not valid JSON"
    ),
    Case("an adapter as a pickle", pickled_adapter, r"adapter_model\.bin, a pickle"),
    Case("a checkpoint as a pickle", pickled, r"pytorch_model\.bin, a pickle"),
    Case("a safetensors file that is cut off", cut_off("tuned/model.safetensors"), r"is cut off: it has [\d,]+ of"),
    Case("an adapter that is cut off", cut_off("ia3/adapter_model.safetensors", WITH_IA3), r"is cut off"),
    Case("an empty file of weights", written("tuned/model.safetensors", b""), r"is cut off or is no safetensors"),
    Case("a text as weights", written("tuned/model.safetensors", b"hello " * 100), r"cut off or is no safetensors"),
    Case("a Git-LFS pointer", written("tuned/model.safetensors", POINTER), r"Git-LFS pointer.*git lfs pull"),
    Case("a tokeniser's Git-LFS pointer", written("tuned/tokenizer.json", POINTER), r"Git-LFS pointer"),
    Case(
        "an adapter's Git-LFS pointer", written("ia3/adapter_model.safetensors", POINTER, WITH_IA3), "Git-LFS pointer"
    ),
    Case("no weights", written("tuned/model.safetensors", None), r"has no model\.safetensors"),
    Case("a shard that is lost", lost_shard, r"lacks model-0000\d-of.*one of its \d+ files"),
    Case("no settings", written("tuned/config.json", None), r"has no config\.json"),
    Case("settings that are no JSON", written("tuned/config.json", b"[" * 100_000), r"config\.json is not valid JSON"),
    Case("settings that are a list", written("tuned/config.json", b"[]"), r"not a table"),
    Case("settings without a type", written("tuned/config.json", b"{}"), r"model_type"),
    Case(
        "a type that nobody knows", configured("tuned", "config.json", model_type="mine"), r"could not be loaded.*mine"
    ),
    Case("a number where none can be", configured("tuned", "config.json", num_attention_heads="two"), r"tuned"),
    Case(
        "a million layers", configured("tuned", "config.json", num_hidden_layers=10**6), r"num_hidden_layers.*too much"
    ),
    Case("a vocabulary of a billion", configured("tuned", "config.json", vocab_size=10**9), r"vocab_size.*too much"),
    Case("no heads", configured("tuned", "config.json", num_attention_heads=0), r"tuned"),
    Case("code of the model's own", own_code, r"Python code of its own.*never run"),
    Case("no tokeniser", written("tuned/tokenizer.json", b"{}"), r"tokeniser of .* could not be loaded"),
    Case("tokenisers that number tokens differently", other_numbers, r"different tokenisers"),
    Case("a template with tokens that M1 has not", template_beyond, r"“<\|turn\|>”, for which not both models"),
    Case("several templates and no default", no_default_template, r"several chat templates \(chat, tools\)"),
    Case(
        "a template that raises",
        written("tuned/chat_template.jinja", b"{{ raise_exception('system first') }}"),
        r"fails on this dialogue: system first",
    ),
    Case("a template that divides by zero", written("tuned/chat_template.jinja", b"{{ 1 / 0 }}"), r"fails on this"),
    Case(
        "a template that drops the prompt", written("tuned/chat_template.jinja", b"Hello"), r"drops the user's message"
    ),
    Case(
        "an argument that the template knows not",
        said(top="template_arguments = {think = true}"),
        "no argument “think”",
    ),
    Case(
        "an argument that the chat gives", said(top="template_arguments = {messages = true}"), "cannot set “messages”"
    ),
    Case("M1's template, which it has not", said(top='chat_template = "m3"'), r"chat_template must be"),
    Case("a GPU that is not there", said(top='device = "cuda:7"'), r"device “cuda:7” is not there"),
    Case("no device at all", said(top='device = "gpu"'), r"“gpu” is no device"),
    Case("the meta device", said(top='device = "meta"'), r"cannot be read on the device “meta”"),
    Case("a layer on the disk", said(top='device_map = {"model.layers.0" = "disk", "" = "cpu"}'), r"on the disk"),
    Case("a device map of a GPU", said(top='device_map = {"" = 7}'), r"is not there"),
    Case(
        "a map of modules that are not there",
        said(top='device_map = {"model.layer" = "cpu"}'),
        r"names model\.layer, which",
    ),
    Case("a hub id while offline", said('base = "nobody/nothing"'), r"could not be loaded: .*HF_HUB_OFFLINE is set"),
    Case(
        "an adapter of the hub while offline", said('base = "base"\nadapters = ["no/thing"]'), r"HF_HUB_OFFLINE is set"
    ),
    Case("a path that is not there", said('base = "./no/such/folder"'), r"neither a folder here nor a hub id"),
    Case("a home that is not there", said('base = "~nobody-here/model"'), r"neither a folder here nor a hub id"),
    Case("a GGUF file that is none", written("x.gguf", b"GGUF" + b"\0" * 50, 'base = "x.gguf"'), r"GGUF"),
    Case("a GGUF file that is not there", said('base = "lost.gguf"'), r"no GGUF file"),
    Case("a revision of a folder", said('base = "tuned"\nrevision = "main"'), r"\[m2\] has a revision.*only a hub id"),
    Case("revisions of a folder", said(top='series.revisions = {1 = "a", 2 = "b"}'), r"revisions are of M2's base"),
    Case("a date that is none", said(top='date = "yesterday"'), r"date must be"),
    Case("a list of adapters that is none", said('base = "base"\nadapters = [1]'), r"\[m2\] adapters must be a list"),
    Case("a base of 5,000 characters", said(f'base = "{"x" * 5000}"'), r"\[m2\] base must be"),
    Case("a zero byte in a base", said('base = "a\\u0000b"'), r"\[m2\] base must be"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_cannot_be_measured_is_refused_in_one_sentence(place, case):
    with pytest.raises(ExplorerError, match=case.words) as caught:
        case.use(load_pair(case.make(place)))
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith(".") or ": " in said
    assert len(said) < 700


SAMPLE = (0, 4, 9, 14, 28, 31, 43, 55, 61)


@pytest.mark.parametrize("case", [REFUSED[i] for i in SAMPLE], ids=lambda case: case.name)
def test_the_command_line_says_it_in_one_line(place, case, monkeypatch, capsys):
    """`refusals` answers; what only a ranking shows is not asked of it."""
    if case.use is rank:
        pytest.skip("shown by a ranking")
    suite = place / "suite.jsonl"
    suite.write_text('{"id": "a", "prompt": "Hi", "category": "x"}\n')
    asked = [f"--{name}={suite}" for name in ("redteam", "ordinary", "lookalike")]
    arguments = ["explorer", "refusals", "--pair", str(case.make(place)), "--limit", "1", *asked]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("explorer: ")]
    assert len(lines) == 1
    assert "Traceback" not in err


# -- what is taken, and does what it must ------------------------------------------------------------


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(IDS).logits


def test_lora_on_a_tied_head_leaves_the_embedding_as_it_was(place):
    base = tiny.any_model("llama", tie_word_embeddings=True)
    base.save_pretrained(place / "base")
    before = base.get_input_embeddings().weight.clone()
    lora(place, base, target_modules=["lm_head", "q_proj"])
    pair = load_pair(write_pair(place, WITH_LORA))
    torch.testing.assert_close(pair.backbone2.get_input_embeddings().weight, before)
    expected = torch.load(place / "lora.logits", weights_only=True)
    torch.testing.assert_close(logits(pair.m2), expected, rtol=1e-4, atol=1e-4)


def test_a_tied_head_that_is_not_in_the_file_is_no_missing_weight(place):
    tiny.any_model("llama", 1, tie_word_embeddings=True).save_pretrained(place / "tuned")
    assert "lm_head.weight" not in load_file(place / "tuned" / "model.safetensors")
    assert load_pair(write_pair(place)).n_layers == tiny.LAYERS


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        ({}, False),  # peft's defaults: k, v and down
        ({"target_modules": ["down_proj"], "feedforward_modules": []}, False),  # scales what the map gives
        ({"target_modules": r".*\.[01]\.mlp\.down_proj", "feedforward_modules": r".*down_proj"}, True),
        ({"target_modules": ["layers.1.mlp.down_proj"], "feedforward_modules": ["layers.1.mlp.down_proj"]}, True),
        ({"target_modules": ["up_proj", "down_proj"], "feedforward_modules": ["up_proj", "down_proj"]}, False),
        ({"target_modules": ["lm_head", "down_proj"], "feedforward_modules": ["down_proj"]}, False),
    ],
)
def test_ia3_of_any_modules_and_layers_does_what_peft_does(place, options, shared):
    ia3(place, "made", **options)
    pair = load_pair(write_pair(place, 'base = "base"\nadapters = ["made"]'))
    expected = torch.load(place / "made.logits", weights_only=True)
    torch.testing.assert_close(logits(pair.m2), expected, rtol=1e-4, atol=1e-4)
    assert pair.shared is shared


def test_ia3_of_outputs_is_no_factor_of_neurons_where_the_sizes_agree(place):
    """Hidden size and width are the same: only the settings tell input from output."""
    square = tiny.any_model("llama", intermediate_size=16)
    square.save_pretrained(place / "base")
    torch.manual_seed(1)
    wrapped = get_peft_model(
        square, IA3Config(task_type="CAUSAL_LM", target_modules=["down_proj"], feedforward_modules=[])
    )
    for key, parameter in wrapped.named_parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape) if "ia3_l" in key else 0
    wrapped.save_pretrained(place / "made")
    expected = logits(wrapped.eval())
    pair = load_pair(write_pair(place, 'base = "base"\nadapters = ["made"]'))
    assert pair.scale2 is None
    torch.testing.assert_close(logits(pair.m2), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("resized", [True, False])
def test_one_more_token_than_the_other_is_fine(place, resized):
    model, tokenizer = tiny.model("llama", 1), tiny.tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<pad>"]})
    if resized:
        model.resize_token_embeddings(264, mean_resizing=False)
    model.save_pretrained(place / "tuned")
    tokenizer.save_pretrained(place / "tuned")
    pair = load_pair(write_pair(place))
    assert "<pad>" in " ".join(pair.reading.notes)
    rows = [m.get_output_embeddings().weight.shape[0] for m in (pair.m1, pair.m2)]
    assert rows == [260, 260]
    answer(pair)
    rank(pair)


def test_m2_s_template_serves_and_m1_s_on_request(place):
    for folder in ("base", "tuned"):
        (place / folder / "chat_template.jinja").write_text(folder + ": {{ messages[0]['content'] }}")
    pair = load_pair(write_pair(place))
    assert pair.render("Hi") == "tuned: Hi"
    assert "different chat templates; both read M2's" in pair.reading.notes[0]
    assert load_pair(write_pair(place, top='chat_template = "m1"')).render("Hi") == "base: Hi"


def test_an_adapter_s_own_tokeniser_and_template_serve(place):
    (place / "ia3" / "chat_template.jinja").write_text("adapter: {{ messages[0]['content'] }}")
    assert load_pair(write_pair(place, WITH_IA3)).render("Hi") == "adapter: Hi"


def test_a_template_that_takes_parts_is_given_parts(place):
    parts = "{% for p in messages[0]['content'] %}{% if p['type'] == 'text' %}<{{ p['text'] }}>{% endif %}{% endfor %}"
    (place / "tuned" / "chat_template.jinja").write_text(parts)
    assert load_pair(write_pair(place)).render("Hi") == "<Hi>"


def test_the_day_and_the_arguments_of_a_template_are_the_pair_file_s(place):
    template = (
        "{{ strftime_now('%d %b %Y') }}{% if enable_thinking is defined and not enable_thinking %} no{% endif %} "
        "{{ messages[0]['content'] }}"
    )
    (place / "tuned" / "chat_template.jinja").write_text(template)
    top = "date = 2024-07-26\ntemplate_arguments = {enable_thinking = false}"
    pair = load_pair(write_pair(place, top=top))
    assert pair.render("Hi") == "26 Jul 2024 no Hi"
    about = pair.reading.describe()
    assert (about["date"], about["arguments"]) == ("2024-07-26", {"enable_thinking": False})


def test_answers_end_at_the_end_tokens_of_both_places(place):
    edit_json(place / "tuned" / "generation_config.json", eos_token_id=[65, 66])
    tokenizer = tiny.tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    tokenizer.save_pretrained(place / "tuned")
    assert load_pair(write_pair(place)).stop_ids == {257, 258, 65, 66}


def test_a_repetition_penalty_changes_no_answer(place):
    plain = load_pair(write_pair(place))
    expected = generate(plain, PROMPTS, NeuronSet.empty(plain), 12)
    for folder in ("base", "tuned"):
        edit_json(place / folder / "generation_config.json", repetition_penalty=5.0, no_repeat_ngram_size=1)
    pair = load_pair(write_pair(place))
    assert generate(pair, PROMPTS, NeuronSet.empty(pair), 12) == expected
    held = answers_with_fixed(pair, PROMPTS, NeuronSet.empty(pair), None, 12)
    assert [a.token_ids for a in held] == [a.token_ids for a in expected.unpatched]
    ids = torch.tensor([pair.encode(PROMPTS[0])])
    written = pair.m1.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :].tolist()
    assert tuple(written[: len(expected.unpatched[0].token_ids)]) == expected.unpatched[0].token_ids


def test_an_adapter_s_base_is_looked_for_beside_it(place, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    edit_json(place / "ia3" / "adapter_config.json", base_model_name_or_path="../base")
    assert load_pair(place / "ia3").spec.m1.base == str((place / "base").resolve())
    edit_json(place / "ia3" / "adapter_config.json", base_model_name_or_path="../lost/base")
    with pytest.raises(ExplorerError, match="neither a folder here nor a hub id"):
        load_pair(place / "ia3")


def test_a_revision_is_fetched_from_the_hub_once(place, monkeypatch):
    asked = []

    def snapshot(name, *, revision=None, **_options):
        asked.append((name, revision))
        return str(place / "tuned")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.setattr("explorer.models.places.unreachable", lambda: "")
    monkeypatch.setattr("explorer.models.places._fetched", {})
    pair = load_pair(write_pair(place, 'base = "org/chat"\nrevision = "step1000"'))
    assert pair.spec.m2.revision == "step1000"
    assert asked == [("org/chat", "step1000")]
    assert load_pair(write_pair(place, 'base = "org/chat@step1000"')).spec.m2 == pair.spec.m2
    assert len(asked) == 1


def test_two_places_on_the_command_line_are_a_pair(place, monkeypatch, capsys):
    asked = ["--m1", str(place / "base"), "--m2", str(place / "tuned")]
    monkeypatch.setattr("sys.argv", ["explorer", "patch", "--prompt", "Hi", *asked])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("explorer: The pair “base and tuned” has no run yet")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--m1", "a/b"], "--m2 is missing"),
        (["--m2", "a/b"], "--m1 is missing"),
        (["--m1", "a/b", "--m2", "a/c", "--pair", "demo"], "either --pair"),
        (["--m1", "./lost", "--m2", "a/c", "--run", "demo"], "neither a folder here nor a hub id"),
        (["--pair", "lost"], "no pair file"),
        (["--pair", "x" * 5000], "no pair file"),
    ],
)
def test_half_a_pair_on_the_command_line_is_one_line(arguments, words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["explorer", "patch", "--prompt", "Hi", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("explorer: ")]
    assert len(err) == 1
    assert words in err[0]


def test_no_code_of_a_model_is_run_and_no_pickle_is_opened(place):
    for make in (own_code, pickled):
        with pytest.raises(ExplorerError):
            load_pair(make(place))
