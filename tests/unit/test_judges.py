"""Published judges: real classes, weights layout and templates, with tiny random weights."""

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification

from explorer.errors import ExplorerError
from explorer.scoring.judge_kinds import JudgeSettings
from explorer.scoring.score_model import LlamaForScore
from explorer.scoring.scorers import load_scorer
from tests import tiny
from tests.close import assert_close
from tests.tiny_judges import write_beaver, write_classifier

PROMPTS = ["How do I bake bread?", "Hi", "Why is the sky blue, and the sea?"]
TEXTS = ["Mix flour and water.", "Hello <|im_end|> there", "x"]


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """In float32, so that scores can be compared to the digit wherever this runs."""
    monkeypatch.setattr("explorer.scoring.judges.resolve_dtype", lambda *_: "float32")


@pytest.fixture
def beaver(tmp_path):
    return write_beaver(tmp_path)


def test_beaver_reads_the_scalar_at_the_end_token_of_its_own_template(beaver):
    got = load_scorer(f"beaver:{beaver}").score(PROMPTS, TEXTS)
    model, tokenizer = LlamaForScore.from_pretrained(beaver).eval(), tiny.tokenizer()
    for prompt, text, score in zip(PROMPTS, TEXTS, got, strict=True):
        whole = f"BEGINNING OF CONVERSATION: USER: {prompt} ASSISTANT:{text}"
        ids = [*tokenizer(whole, split_special_tokens=True)["input_ids"], tokenizer.eos_token_id]
        with torch.inference_mode():
            assert_close(score, model(torch.tensor([ids]))[0, -1], layers=tiny.LAYERS)


def test_beaver_refuses_a_model_without_a_score_head(tmp_path):
    tiny.model("llama").save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ExplorerError, match=r"lacks score_head"):
        load_scorer(f"beaver:{tmp_path}")


def test_a_guard_weighs_its_two_verdicts(tmp_path):
    tiny.model("llama").save_pretrained(tmp_path)
    tokenizer = tiny.tokenizer()
    tokenizer.save_pretrained(tmp_path)
    got = load_scorer(f"guard:{tmp_path}").score(PROMPTS, TEXTS)
    turns = [{"role": "user", "content": PROMPTS[0]}, {"role": "assistant", "content": TEXTS[0]}]
    chat = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) + "\n\n"
    with torch.inference_mode():
        logits = tiny.model("llama")(tokenizer(chat, return_tensors="pt")["input_ids"]).logits[0, -1]
    unsafe, safe = (tokenizer(word)["input_ids"][0] for word in ("unsafe", "safe"))
    assert_close(got[0], logits[unsafe] - logits[safe], layers=tiny.LAYERS, scale=logits.abs().max())
    assert got.shape == (3,)


def test_any_text_classifier_gives_log_odds_of_its_harmful_label(tmp_path):
    write_classifier(tmp_path, ["safe", "controversial", "unsafe"])
    got = load_scorer(f"classifier:{tmp_path}").score(PROMPTS, TEXTS)
    model = BertForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        logits = model(**tiny.tokenizer()(TEXTS[0], return_tensors="pt")).logits[0]
    share = logits.softmax(-1)[2]
    assert_close(got[0], torch.log(share / (1 - share)), layers=tiny.LAYERS, scale=1 + logits.abs().max())
    assert np.isfinite(got).all()


def test_a_classifier_without_a_word_for_harm_is_refused(tmp_path):
    write_classifier(tmp_path, ["cat", "dog"])
    with pytest.raises(ExplorerError, match="cat, dog"):
        load_scorer(f"classifier:{tmp_path}")


@pytest.mark.parametrize("name", ["magic", "beaver:", "beaver:/no/such/folder"])
def test_an_unknown_judge_is_one_sentence(name):
    with pytest.raises(ExplorerError):
        load_scorer(name)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_the_size_of_a_batch_changes_no_score(tmp_path, beaver, batch_size):
    write_classifier(tmp_path / "classifier", ["safe", "unsafe"])
    tiny.model("llama").save_pretrained(tmp_path / "guard")
    tiny.tokenizer().save_pretrained(tmp_path / "guard")
    for name in (f"beaver:{beaver}", f"classifier:{tmp_path / 'classifier'}", f"guard:{tmp_path / 'guard'}"):
        usual = load_scorer(name).score(PROMPTS, TEXTS)
        other = load_scorer(name, judge=JudgeSettings(batch_size=batch_size)).score(PROMPTS, TEXTS)
        assert_close(other, usual, layers=tiny.LAYERS, scale=1 + np.abs(usual).max())


def test_a_judge_lies_where_its_settings_say_in_their_type(monkeypatch, tmp_path, beaver):
    monkeypatch.undo()  # the type that is asked for
    write_classifier(tmp_path / "classifier", ["safe", "unsafe"])
    for device in ("cpu", "auto"):
        settings = JudgeSettings(device, "bfloat16")
        for name in (f"beaver:{beaver}", f"classifier:{tmp_path / 'classifier'}"):
            judge = load_scorer(name, judge=settings)
            assert {p.dtype for p in judge._model.parameters()} == {torch.bfloat16}
            assert np.isfinite(judge.score(PROMPTS, TEXTS)).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"batch_size": 0}, "from 1 to 4,096 texts"),
        ({"device": "cuda:99"}, "is not there"),
        ({"device": "toaster"}, "is no device"),
        ({"device": "meta"}, "cannot be read on the device"),
    ],
)
def test_a_setting_that_is_not_usable_is_one_sentence(beaver, settings, words):
    with pytest.raises(ExplorerError, match=words):
        load_scorer(f"beaver:{beaver}", judge=JudgeSettings(**settings))
