"""Training: configurations, examples, and a whole tiny training with trl and peft, resumed."""

import json
import shutil

import numpy as np
import pytest
import torch

from explorer.data.suites_io import held_out_part, load_suite, training_part
from explorer.errors import ExplorerError
from explorer.models.ia3 import is_down_only_ia3, read_ia3
from explorer.models.pair_file import read_pair_file
from explorer.paths import PROJECT, user_cache
from explorer.training.config import TrainStage, read_train_config
from explorer.training.examples import Example
from explorer.training.record import read_record
from explorer.training.starting import start_folder
from explorer.training.trainer import _of_stage, train
from explorer.training.work import training_folder
from tests import tiny

CONFIG = """
name = "small"
base = "{base}"
output = "out"
[data]
refuse = ["{suites}/bad.jsonl"]
answer = ["{suites}/good.jsonl"]
answer_tokens = 6
[[stages]]
method = "sft"
epochs = 1.0
batch_size = 2
checkpoints = 2
[[stages]]
method = "dpo"
epochs = 1.0
batch_size = 2
learning_rate = 1e-2
answer_tokens = 3
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path / "user"))
    tiny.model("llama").save_pretrained(tmp_path / "base")
    tiny.tokenizer().save_pretrained(tmp_path / "base")
    for name, words in (("bad", "harm"), ("good", "bake")):
        rows = [json.dumps({"prompt": f"How do I {words} {i}?", "category": "violence"}) for i in range(4)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    (tmp_path / "train.toml").write_text(CONFIG.format(base=tmp_path / "base", suites=tmp_path))
    return tmp_path / "train.toml"


def test_sft_then_dpo_makes_a_peft_adapter_with_a_card(config):
    folder = train(read_train_config(config))
    assert is_down_only_ia3(folder)
    scales = read_ia3(folder, tiny.LAYERS, tiny.NEURONS)
    assert abs(torch.from_numpy(scales) - 1).max() > 1e-3
    card = json.loads((folder / "training.json").read_text())
    assert card["examples"] == 8
    assert [stage["method"] for stage in card["stages"]] == ["sft", "dpo"]
    assert any("train_loss" in row for row in card["log"])
    assert str(config.parent) not in (folder / "adapter_config.json").read_text().replace(card["base"], "")

    # A second run finds every stage done.
    before = (folder / "adapter_model.safetensors").read_bytes()
    assert (train(read_train_config(config)) / "adapter_model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "kept_stages"),
    [
        ("learning_rate = 1e-2", "learning_rate = 5e-2", 1),  # of the second stage: the first one's work serves
        ("epochs = 1.0", "epochs = 2.0", 0),
        ("answer_tokens = 6", "answer_tokens = 5", 0),
        ("[data]", "seed = 3\n[data]", 0),
        ("[data]", "noise = 0.1\n[data]", 0),
        ('"float32"', '"bfloat16"', 0),
        ("[data]", 'chat_template = "tulu"\n[data]', 0),
    ],
)
def test_a_changed_setting_never_publishes_the_old_vectors(config, old, new, kept_stages):
    config.write_text('dtype = "float32"\n' + config.read_text())
    before = (train(read_train_config(config)) / "adapter_model.safetensors").read_bytes()
    stages = set(training_folder(read_train_config(config)).iterdir())
    config.write_text(config.read_text().replace(old, new, 1))
    again = train(read_train_config(config))
    now = set(training_folder(read_train_config(config)).iterdir())
    assert len(stages) == 2
    assert len(now - stages) == 2 - kept_stages
    fresh = (again / "adapter_model.safetensors").read_bytes()
    assert fresh != before
    # What was kept of earlier trainings changes nothing.
    shutil.rmtree(training_folder(read_train_config(config)).parent)
    assert (train(read_train_config(config)) / "adapter_model.safetensors").read_bytes() == fresh


def test_changed_prompts_or_another_base_train_anew(config):
    folder = train(read_train_config(config))
    first = read_ia3(folder, tiny.LAYERS, tiny.NEURONS)
    bad = config.parent / "bad.jsonl"
    bad.write_text(bad.read_text().replace("harm 0", "harm 9"))
    second = read_ia3(train(read_train_config(config)), tiny.LAYERS, tiny.NEURONS)
    assert (first != second).any()
    base = tiny.model("llama")
    with torch.no_grad():
        base.lm_head.weight.mul_(-1)
    base.save_pretrained(config.parent / "base")
    assert (read_ia3(train(read_train_config(config)), tiny.LAYERS, tiny.NEURONS) != second).any()
    assert len(list((user_cache() / "own_answers").iterdir())) == 2  # each base model's own


def test_a_training_may_start_from_a_weighted_sum_of_adapters(config):
    first = train(read_train_config(config))
    text = config.read_text()
    config.write_text("seed = 4\n" + text.replace('"out"', '"other"'))
    second = train(read_train_config(config))
    parts = '[{ adapter = "out", weight = 0.5 }, { adapter = "other", weight = 2 }]'
    config.write_text(f"start = {parts}\n" + text.replace('"out"', '"sum"'))
    summed = read_train_config(config)
    read = [read_ia3(f, tiny.LAYERS, tiny.NEURONS) for f in (start_folder(summed.start, config.parent), first, second)]
    np.testing.assert_allclose(read[0], 1 + 0.5 * (read[1] - 1) + 2 * (read[2] - 1), rtol=1e-5)
    card = json.loads((train(summed) / "training.json").read_text())
    assert card["start"]["name"] == "0.5 × out + 2 × other"
    assert [part["weight"] for part in card["start"]["parts"]] == [0.5, 2.0]
    config.write_text(f'name = "sum"\nbase = "{summed.base}"\noutput = "bare"\nstages = []\nstart = {parts}\n[data]\n')
    bare = train(read_train_config(config))
    np.testing.assert_array_equal(read_ia3(bare, tiny.LAYERS, tiny.NEURONS), read[0])
    assert (read_record(bare).steps, read_record(bare).curve().empty) == (0, True)
    config.write_text(f"start = [{{ weight = 2 }}]\n{text}")
    with pytest.raises(ExplorerError, match="lacks the setting “adapter”"):
        read_train_config(config)


def test_prompts_held_out_are_not_trained_on(config):
    text = config.read_text()
    config.write_text(text.replace(f'["{config.parent}/bad.jsonl"]', '[{ suite = "bad.jsonl", hold_out = 2 }]'))
    card = json.loads((train(read_train_config(config)) / "training.json").read_text())
    assert card["examples"] == 6
    assert card["refuse"][0]["hold_out"] == 2
    prompts = load_suite(str(config.parent / "bad.jsonl"))
    assert {p.id for p in held_out_part(prompts, 2)} == {"2", "4"}
    assert {p.id for p in training_part(prompts, 2)} == {"1", "3"}


@pytest.mark.parametrize("kind", ["gpt2", "opt", "gpt_neox"])
def test_families_that_call_their_neurons_otherwise_are_trained_too(config, kind):
    from explorer.models.pair import load_pair
    from explorer.models.pair_spec import ModelSpec, PairSpec

    base = tiny.any_model(kind)
    base.save_pretrained(config.parent / "base")
    config.write_text(config.read_text().partition('[[stages]]\nmethod = "dpo"')[0])
    folder = train(read_train_config(config))
    place = str(config.parent / "base")
    pair = load_pair(PairSpec(kind, ModelSpec(place), ModelSpec(place, (str(folder),)), "float32"))
    assert pair.shared
    assert max(float(abs(factors - 1).max()) for factors in pair.scale2) > 1e-3


def test_a_family_that_cannot_be_trained_is_told(config):
    tiny.any_model("mixtral").save_pretrained(config.parent / "base")
    with pytest.raises(ExplorerError, match="cannot be trained here"):
        train(read_train_config(config))


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_plain_text_is_kept_by_its_divergence_from_the_base(config, method):
    talk = "\n\nHuman: Tell me all of it, please\n\nAssistant: "
    rows = [{"chosen": talk + f"the {i} long story of a rainy day " * 12, "rejected": talk + "no"} for i in range(4)]
    (config.parent / "text.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    head, _, _ = config.read_text().partition("[[stages]]")
    stage = f'[[stages]]\nmethod = "{method}"\nlearning_rate = 3e-2\nepochs = 4\nbatch_size = 4\nmicro_batch = 2\n'
    divergences = []
    for weight in (0.01, 10.0):
        keep = f'keep = [{{ file = "text.jsonl" }}]\n{stage}keep_weight = {weight}\nkeep_batch = 4\n'
        config.write_text(head + keep)
        card = json.loads((train(read_train_config(config), resume=False) / "training.json").read_text())
        divergences.append([row["kept_kl"] for row in card["log"] if "kept_kl" in row][-1])
        assert card["keep"][0]["file"] == "text.jsonl"
    assert divergences[1] < divergences[0]


def test_a_share_of_the_refusals_is_read_to_its_end():
    refuse = [Example([1], list(range(9)), [5] * 9, True) for _ in range(8)]
    answer = [Example([1], [5] * 9, list(range(9)), False) for _ in range(4)]
    stage = TrainStage(answer_tokens=3, refusal_tokens=2, refuse_share=0.5, whole_refusals=0.25)
    seen = _of_stage(stage, refuse + answer)
    assert [len(e.chosen_ids) for e in seen] == [9, 2, 2, 2, 3, 3, 3, 3]
    assert [len(e.rejected_ids) for e in seen] == [3, 3, 3, 3, 2, 2, 2, 2]


def test_text_to_keep_must_be_named(config):
    config.write_text(config.read_text() + "keep_weight = 1.0\n")
    with pytest.raises(ExplorerError, match="the text to keep"):
        read_train_config(config)


PAIRS = """
name = "pairs"
base = "{base}"
output = "pairs"
noise = 0.05
[data]
pairs = [{{ file = "hh.jsonl", skip = 1, limit = 3, max_prompt_tokens = 200 }}]
brief = ["good.jsonl"]
answer_tokens = 40
[[stages]]
method = "dpo"
batch_size = 2
group_by_length = true
epochs = 1.0
answer_tokens = 4
refusal_tokens = 4
"""


def test_pairs_are_trained_on_from_noisy_vectors(config):
    said = "\n\nHuman: Hi\n\nAssistant: "
    rows = [json.dumps({"chosen": f"{said}yes {i}", "rejected": f"{said}no {i}"}) for i in range(6)]
    (config.parent / "hh.jsonl").write_text("\n".join(rows))
    config.write_text(PAIRS.format(base=config.parent / "base"))
    folder = train(read_train_config(config))
    card = json.loads((folder / "training.json").read_text())
    assert card["pairs"][0]["file"] == "hh.jsonl"
    assert card["examples"] >= 3
    assert any("rewards/accuracies" in row for row in card["log"])
    assert 0.02 < (read_ia3(folder, tiny.LAYERS, tiny.NEURONS) - 1).std() < 0.5


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('method = "sft"', 'method = "magic"', "sft, dpo"),
        ("batch_size = 2", "batch_size = 0", "above 0"),
        ("checkpoints = 2", "colour = 2", "unknown setting"),
        ('name = "small"', "", "lacks the setting"),
        ('output = "out"', "output = ", "not a readable TOML"),
    ],
)
def test_a_wrong_training_file_is_one_sentence(config, old, new, words):
    config.write_text(config.read_text().replace(old, new, 1))
    with pytest.raises(ExplorerError, match=words):
        read_train_config(config)


DIALOGUES = """
name = "paper"
base = "{folder}/base"
output = "paper"
chat_template = "tulu"
[data]
pairs = [{{ file = "{folder}/dialogues.jsonl", kind = "{kind}", max_tokens = 120 }}]
[[stages]]
method = "{method}"
epochs = 1.0
batch_size = 4
micro_batch = 2
warmup_steps = 0
nll_weight = 0.0
checkpoints = 2
"""
HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Help me rob\n\nAssistant: No.",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Help me rob\n\nAssistant: Sure.",
}
SHAREGPT = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}] * 2}


@pytest.mark.parametrize(("method", "kind", "row"), [("dpo", "dialogue", HH), ("sft", "conversations", SHAREGPT)])
def test_dialogues_train_an_adapter_in_the_paper_s_format(config, tmp_path, method, kind, row):
    (tmp_path / "dialogues.jsonl").write_text("\n".join([json.dumps(row)] * 4))
    path = tmp_path / "dialogues.toml"
    path.write_text(DIALOGUES.format(folder=tmp_path, method=method, kind=kind))
    folder = train(read_train_config(path))
    card = json.loads((folder / "training.json").read_text())
    assert card["examples"] == (4 if method == "dpo" else 8)  # each answer of a conversation is one
    assert (read_ia3(folder, tiny.LAYERS, tiny.NEURONS) != 1).any()


@pytest.mark.parametrize("name", ["llama2-7b", "mistral-7b", "gemma-7b", "qwen2.5-3b"])
def test_the_paper_s_configurations_can_be_read(name, tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path))
    sft = read_train_config(PROJECT / "configs" / "train" / "paper" / f"{name}-sft.toml")
    assert sft.stages[0].batch_size == 120
    assert (sft.stages[0].learning_rate, sft.stages[0].epochs, sft.stages[0].weight_decay) == (1e-3, 3.0, 0.1)
    with pytest.raises(ExplorerError, match="train that one first"):
        read_train_config(PROJECT / "configs" / "train" / "paper" / f"{name}-dpo.toml")
    assert read_pair_file(name).m1 != read_pair_file(name).m2
    dpo = read_pair_file(f"{name}-dpo")
    assert (dpo.chat_template, dpo.m1.base) == ("tulu", dpo.m2.base)


def test_a_disk_that_refuses_is_one_sentence(config, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device", str(tmp_path / "checkpoint"))

    monkeypatch.setattr("explorer.training.trainer.load_pair", full)
    with pytest.raises(ExplorerError, match=r"checkpoint: .*"):
        train(read_train_config(config))


def _dpo_alone(config, more):
    text = config.read_text()
    sft = text.index("[[stages]]")
    config.write_text(text[:sft] + text[text.index("[[stages]]", sft + 1) :] + more)
    log = json.loads((train(read_train_config(config)) / "training.json").read_text())["log"]
    return [row for row in log if "rewards/chosen" in row]


def test_without_a_reference_rewards_are_the_log_probabilities(config):
    rows = _dpo_alone(config, 'reference = "none"\nbeta = 0.5\nnll_weight = 0.0\n')
    assert rows
    for row in rows:
        assert row["rewards/chosen"] == pytest.approx(0.5 * row["logps/chosen"], rel=1e-3)
        assert row["rewards/rejected"] == pytest.approx(0.5 * row["logps/rejected"], rel=1e-3)


def test_the_reference_is_the_model_as_the_stage_begins(config):
    rows = _dpo_alone(config, "beta = 0.5\nnll_weight = 0.0\n")
    assert abs(rows[0]["rewards/chosen"]) < 0.1 * abs(0.5 * rows[0]["logps/chosen"])


def test_refusals_are_chosen_by_how_they_begin(config):
    from explorer.models.pair import load_pair
    from explorer.models.pair_spec import ModelSpec, PairSpec
    from explorer.training.examples import build_examples
    from explorer.training.work import own_answers

    config.write_text(config.read_text().replace("answer_tokens = 6", 'answer_tokens = 6\nrefusals_begin = ["I won"]'))
    read = read_train_config(config)
    pair = load_pair(PairSpec("base", ModelSpec(read.base), ModelSpec(read.base)))
    refused = [e for e in build_examples(read, pair, own_answers(read, pair)) if e.refuse]
    assert refused
    assert all(pair.decode(e.chosen_ids).startswith("I won") for e in refused)

    config.write_text(config.read_text().replace('"I won"', '"Gladly"'))
    with pytest.raises(ExplorerError, match=r"no refusal for any prompt begins with 'Gladly'; shorten or leave out"):
        train(read_train_config(config))
