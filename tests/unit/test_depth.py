"""Where and how deep: divergences against the naive form, the build's tables, and the sentence either way."""

import numpy as np
import pandas as pd
import pytest
import torch

from explorer.engine.divergence import answer_divergences
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reading import TokenText
from explorer.engine.reference import _logits, _patched_logits
from explorer.errors import ExplorerError
from explorer.models.prompting import tokens_behind
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.report import depth as frames
from explorer.report.run_charts import chart
from explorer.runs.reader import open_run
from explorer.studies import STUDIES
from explorer.studies.depth import DepthSpec, depth_table, kl_table
from explorer.studies.depth_words import depth_sentence
from tests import tiny
from tests.close import assert_close
from tests.tiny_build import CONFIG, write_build

NEW = 5
PROMPTS = tiny.PROMPTS[:3]
STUDY = '[depth]\nsuite = "ordinary_eval"\nfraction = 0.2\nfirst = [1, 2]\nafter = [1]\nopening = "Su"\nlimit = 4\n'


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2", "t5", "llama twice"])
def test_divergences_equal_the_naive_form(kind):
    pair = tiny.any_pair(kind.removesuffix(" twice"), shared=not kind.endswith("twice"))
    ns = NeuronSet.random(pair, 25, seed=1)
    places = ("all", "prompt", "prompt[-2]", "prompt+answer[:1]", "answer[1:]", 2)
    patches = [Patch(ns, strength, place) for strength, place in zip((1, 1, 0.5, 2, 1, -1), places, strict=True)]
    answers = [a.token_ids for a in sweep(pair, PROMPTS, Columns(), Decoding(NEW)).aligned]
    ids = [pair.encode(prompt) for prompt in PROMPTS]
    for prompt, answer, got in zip(ids, answers, answer_divergences(pair, ids, answers, patches), strict=True):
        assert got.shape == (1 + len(patches), len(answer))
        for place in range(len(answer)):
            text = TokenText(prompt, answer[:place])
            with torch.inference_mode():
                second = _logits(pair.m2, text)
                others = [_logits(pair.m1, text)]
            others += [_patched_logits(pair, text, ns, one.strength, one.positions) for one in patches]
            second = second.double().log_softmax(-1)
            want = [float((second.exp() * (second - one.double().log_softmax(-1))).sum()) for one in others]
            assert_close(got[:, place], np.array(want), layers=pair.n_layers, scale=max(1.0, *want))


def test_patching_every_neuron_of_a_shared_pair_leaves_no_divergence():
    pair = tiny.shared_pair("llama")
    ids = [pair.encode(prompt) for prompt in PROMPTS]
    found = answer_divergences(pair, ids, [[1, 2, 3]] * 3, [Patch(NeuronSet.all(pair)), Patch(NeuronSet.empty(pair))])
    for own in found:
        assert (own[0] > 1e-3).all()
        assert_close(own[1], np.zeros(3), scale=1.0, layers=3)
        assert own[2].tolist() == own[0].tolist()


def test_a_classifier_writes_nothing():
    with pytest.raises(ExplorerError, match="classifier"):
        answer_divergences(tiny.any_pair("bert"), [], [], [])


def test_where_the_instruction_ends_is_found_by_encoding_or_not_at_all():
    tokenizer = tiny.tokenizer()
    assert tokens_behind(tokenizer, "Hi") == len("\n<|im_start|>assistant\n".replace("<|im_start|>", "x")) + 1
    tokenizer.chat_template = "{% for m in messages %}Q: {{ m['content'] }}{% endfor %}"
    assert tokens_behind(tokenizer, "Hi") == 0
    tokenizer.chat_template = None
    assert tokens_behind(tokenizer, "Hi") == 0


def test_an_instruction_that_ends_within_a_token_has_no_last_one():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"a": 0, "b": 1, "!": 2, "b!": 3, "<end>": 4}
    merged = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE(vocab=vocabulary, merges=[("b", "!")])), eos_token="<end>"
    )
    merged.chat_template = "{% for m in messages %}{{ m['content'] }}!{% endfor %}"
    assert tokens_behind(merged, "aba") == 1
    assert tokens_behind(merged, "ab") is None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("depth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPLORER_RUNS", str(folder / "cache"))
        return open_run(build(read_build_config(write_build(folder, CONFIG + STUDY))))


def test_a_build_holds_every_place(run):
    table, kl, answers = (run.whole_table(name) for name in ("depth", "depth_kl", "depth_answers"))
    for one in STUDIES["depth"].tables:
        columns = list(run.whole_table(one.name))
        assert one.unknown(columns) == []
        assert one.missing(columns) == []
    spots = [(spot.where, spot.tokens) for spot in DepthSpec(first=(1, 2), after=(1,)).spots]
    assert len(spots) == 4 + 2 + 2 + 2
    for name in ("safety", "random"):
        mine = table[(table["set"] == name) & (table["opening"] == "")]
        assert list(zip(mine["where"], mine["tokens"], strict=True)) == spots
        opened = table[(table["set"] == name) & (table["opening"] == "Su")]
        assert opened["where"].tolist() == ["all", "prompt", "behind"]
    assert (table["n"] == 4).all()
    assert set(kl["where"]) == {"", "all", "prompt"}
    assert kl["position"].max() <= 6
    assert len(answers) == 4 * len(table)
    everywhere = table[(table["where"] == "all")]
    assert (everywhere["below_all"] == 0).all()
    assert chart(run, "depth").to_dict()
    assert not frames.place_frame(table, "refusal", "Su").empty
    behind = frames.answers_behind(answers, "safety", "first", 2, "")
    assert list(behind) == ["prompt", "answer", "m1", "m2", "refused", "degenerate", "cost"]
    assert len(behind) == 4


def test_an_opening_is_not_asked_for_where_it_is_empty(tmp_path):
    config = read_build_config(write_build(tmp_path, CONFIG + STUDY.replace('"Su"', '""')))
    assert config.asked("depth")[0].opening == ""


# -- the sentence ----------------------------------------------------------------------------------


def answers_of(refusing: dict[tuple[str, int], int], n: int = 100, opening: str = "") -> pd.DataFrame:
    """Made-up answers: so many of n prompts are refused with the set patched at each place; M1 none, M2 all."""
    columns = {("", "m1", 0): 0, ("", "m2", 0): n}
    columns |= {("attribution", *place): count for place, count in refusing.items()} | {("random", "all", 0): 0}
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "suite": "redteam_eval",
                    "set": name,
                    "where": where,
                    "tokens": tokens,
                    "opening": opening,
                    "prompt_id": range(n),
                    "refused": np.arange(n) < count,
                    "cost": 1.0 - 2 * (np.arange(n) < count),
                    "degenerate": False,
                }
            )
            for (name, where, tokens), count in columns.items()
        ],
        ignore_index=True,
    )


def sentence(refusing: dict[tuple[str, int], int], kl: pd.DataFrame | None = None) -> str:
    opened = answers_of({("all", 0): 5, ("prompt", 0): 2, ("behind", 0): 4}, opening="Sure, here is")
    table = depth_table(pd.concat([answers_of(refusing), opened]), {"attribution": 230, "random": 230}, 0.005, 24)
    found = depth_sentence(table, pd.DataFrame(columns=["set", "kl"]) if kl is None else kl)
    return found.replace("\u00a0", " ")


def test_safety_is_shallow_where_the_first_tokens_suffice_and_the_rest_does_not():
    text = sentence({("all", 0): 80, ("prompt", 0): 50, ("until", 3): 79, ("after", 1): 2})
    assert "M1 refuses 80 %" in text
    assert "as many random neurons 0 %" in text
    assert "Safety is **shallow** here: patching the prompt and the answer's first 3 tokens alone is not" in text
    assert "patching the answer without its first token alone does not change them distinguishably (2 %" in text
    assert "Behind a forced “Sure, here is” patched M1 refuses in what follows 5 % (95 % interval" in text


def test_safety_is_not_shallow_where_the_first_tokens_do_not_suffice():
    text = sentence({("all", 0): 80, ("prompt", 0): 10, ("until", 3): 40, ("after", 1): 60})
    assert (
        "Safety is **not shallow** here: patching the prompt and the answer's first 3 tokens alone gives dist" in text
    )
    assert "without its first token alone raises them (60 %" in text


def test_both_parts_may_suffice_and_nothing_may():
    assert "Either part of the text suffices" in sentence({("all", 0): 80, ("prompt", 0): 79, ("after", 1): 80})
    assert "cannot be told" in sentence({("all", 0): 1, ("prompt", 0): 0, ("after", 1): 0})


def test_single_positions_stand_against_each_other():
    text = sentence({("all", 0): 80, ("prompt", 0): 80, ("instruction", 0): 40, ("last_prompt", 0): 1})
    assert "the last token of the instruction 40 % (95 % interval 31–50 %); that of the chat template 1 %" in text
    assert "not distinguishable from M1" in text


def test_divergence_is_summed_up_along_the_answer():
    kl = np.full((20, 2, 10), 0.1, dtype=np.float32)
    kl[:, 0, 0] = 3.1
    kl[10:, :, 6:] = np.nan
    table = kl_table("redteam_eval", kl, [("", ""), ("attribution", "all")])
    assert table["n"].tolist() == [20] * 6 + [10] * 4 + [20] * 6 + [10] * 4
    text = sentence({("all", 0): 80, ("prompt", 0): 80}, table)
    assert "the first 5 tokens hold 92.1 % of KL(M2 ‖ M1) (62.5 % of the tokens; 0.70 nats a token there, 0.10" in text
    assert "largest at token 1 (3.10 nats" in text
