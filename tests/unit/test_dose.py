"""Dose and one at a time: strengths against the naive form, the builds' tables, and the sentences either way."""

import numpy as np
import pandas as pd
import pytest
import torch

from explorer.engine.given_text import token_log_probs
from explorer.engine.reference import naive_mixed_log_prob
from explorer.errors import ExplorerError
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.report import dose as frames
from explorer.report import leave_out
from explorer.report.run_charts import chart
from explorer.runs.reader import open_run
from explorer.studies import STUDIES
from explorer.studies.dose import Dosed, dose_table
from explorer.studies.dose_words import dose_sentence
from explorer.studies.effect import with_holm
from explorer.studies.leave_out import leave_out_rows, leave_out_sentence, without
from tests import tiny
from tests.close import assert_close
from tests.tiny_build import CONFIG, write_build

TABLES = """
[dose]
suite = "ordinary_eval"
sizes = [1, 12, 5000]
beside_from = 12
strengths = [-1, 1, 2]
limit = 4
folder = "{folder}"
windows = 2
window_tokens = 8
[leave_out]
suite = "ordinary_eval"
neurons = 3
limit = 4
answers = 2
"""


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2", "llama twice"])
def test_a_text_is_read_at_every_strength_as_by_the_naive_form(kind):
    pair = tiny.any_pair(kind.removesuffix(" twice"), shared=not kind.endswith("twice"))
    ns, text = NeuronSet.random(pair, 25, seed=1), pair.encode("The sea at night.")
    strengths = (-1.0, 0.5, 1.0, 2.0)
    got = token_log_probs(pair, [text], [Patch(ns, s) for s in strengths]).own[0].sum(axis=1)
    mask = torch.from_numpy(ns.mask()).float()
    want = [naive_mixed_log_prob(pair, text[:1], text[1:], s * mask) for s in (0.0, *strengths)]
    assert_close(got[:-1], np.array(want), layers=pair.n_layers)
    plain, patch = (token_log_probs(pair, [text], [one]).own[0][1] for one in (ns, Patch(ns)))
    assert plain.tolist() == patch.tolist()


def test_a_text_has_no_positions_of_an_answer():
    pair = tiny.shared_pair()
    with pytest.raises(ExplorerError, match="leave positions at"):
        token_log_probs(pair, [[1, 2, 3]], [Patch(NeuronSet.empty(pair), 1.0, "prompt")])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dose")
    (folder / "wikitext2_test.txt").write_text("The sea is wide and the night is long. " * 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPLORER_RUNS", str(folder / "cache"))
        config = CONFIG + TABLES.format(folder=folder)
        return open_run(build(read_build_config(write_build(folder, config))))


def test_a_build_holds_every_dose(run):
    for study in ("dose", "leave_out"):
        for one in STUDIES[study].tables:
            columns = list(run.whole_table(one.name))
            assert one.unknown(columns) == []
            assert one.missing(columns) == []
    table, answers = run.whole_table("dose"), run.whole_table("dose_answers")
    patched = table[~table["set"].isin(["m1", "m2"])]
    columns = list(zip(patched["set"], patched["k"], patched["strength"], strict=True))
    wanted = [("safety", 1), ("safety", 12), ("random", 12)]  # no ranking has 5,000 neurons
    assert columns == [(name, k, s) for name, k in wanted for s in (-1.0, 1.0, 2.0)]
    assert (table["n"] == 4).all()
    assert (table["windows"] == 2).all()
    assert table["perplexity_ratio"].iloc[0] == 1.0
    assert (table["perplexity"] > 0).all()
    assert len(answers) == 4 * len(table)
    assert (patched.loc[patched["strength"] == 1, "beyond"] == 0).all()
    assert list(frames.comparisons(table)) == ["sizes", "12"]
    for comparison in ("sizes", "12"):
        assert len(frames.curve_frame(table, "perplexity", comparison)) == 2 * 4 + 4
    assert len(frames.answers_behind(answers, "random", 12, -1.0)) == 4
    assert chart(run, "dose").to_dict()


def test_a_build_leaves_each_neuron_out(run):
    table, top = run.whole_table("leave_out"), run.ranking("safety").top(3)
    assert table["rank"].tolist() == [0, 1, 2, 3]
    assert table["layer"].tolist()[1:] == top.layers.tolist()
    assert table["neuron"].tolist()[1:] == top.neurons.tolist()
    assert (table["answered"] == 2).all()
    assert table["loss"].iloc[0] == 0
    gap = table["margin"].iloc[0] - table["margin"]
    assert_close(table["loss"].to_numpy(), gap.to_numpy(), scale=float(table["margin"].abs().max()))
    assert chart(run, "leave_out").to_dict()
    assert leave_out.neuron_rows(table)["page"].str.startswith("neurons?neuron=").all()


# -- the sentences ---------------------------------------------------------------------------------


def dose_of(refusing: dict[tuple[str, int, float], int], n: int = 100) -> pd.DataFrame:
    """A table out of made-up answers: so many of n prompts are refused in each column; M1 refuses 10, M2 90."""
    ns = NeuronSet.empty(tiny.shared_pair())
    columns = [Dosed(name, k, Patch(ns, s)) for name, k, s in refusing]
    counts = {-1: 10, -2: 90} | dict(enumerate(refusing.values()))
    answers = pd.concat(
        [
            pd.DataFrame(
                {
                    "condition": condition,
                    "prompt_id": range(n),
                    "refused": np.arange(n) < count,
                    "cost": 0.5,
                    "degenerate": np.arange(n) < 20 * (condition == len(columns) - 1),
                }
            )
            for condition, count in counts.items()
        ]
    )
    losses = [
        {"task": "wikitext2", "id": str(i), "condition": c, "value": 3.0 + 0.1 * i + 0.5 * (c == len(columns))}
        for c in range(len(columns) + 2)
        for i in range(4)
    ]
    return dose_table("redteam_eval", columns, answers, losses, 24)


def test_overdriving_may_do_more_and_has_a_price():
    table = dose_of(
        {
            ("attribution", 1, -1.0): 10,
            ("attribution", 1, 1.0): 12,
            ("attribution", 1, 2.0): 40,
            ("attribution", 100, -1.0): 0,
            ("attribution", 100, 1.0): 80,
            ("attribution", 100, 2.0): 95,
        }
    )
    text = dose_sentence(table).replace("\u00a0", " ")
    assert "by strength (−1, 1, 2), top neurons by attribution: **1 neuron** 10 %, 12 %, 40 %;" in text
    assert "raises refusals beyond those at strength 1 with 1 and 100 neurons (most with 1 neuron: +28 points" in text
    assert "Reversed (−1) the patch lowers M1's refusals with 100 neurons." in text
    assert "100 neurons at strength 2: 20 % degenerate answers" in text
    assert "1.65 times M1's perplexity (1.29 to 2.11, n = 4 stretches)" in text


def test_overdriving_may_do_nothing():
    table = dose_of({("attribution", 10, -1.0): 10, ("attribution", 10, 1.0): 50, ("attribution", 10, 2.0): 51})
    text = dose_sentence(table)
    assert "changes refusals distinguishably from strength 1 with none of the sizes" in text
    assert "Reversed (−1) no size changes M1's refusals distinguishably." in text


def left_out(losses: list[float], n: int = 30) -> pd.DataFrame:
    """A table out of made-up margins: M1 at 0, the set at 10, and what each neuron takes away."""
    rng = np.random.default_rng(0)
    base = rng.normal(0, 0.1, n)
    margins = np.stack([base, base + 10, *(base + 10 - loss + rng.normal(0, 0.1, n) for loss in losses)])
    whole = NeuronSet(np.arange(len(losses)), np.arange(len(losses)), 9, 9)
    assert len(without(whole, 1)) == len(losses) - 1
    answers = pd.DataFrame(
        [
            {"condition": c, "prompt_id": i, "refused": i < (20 if c != 1 else 18)}
            for c in range(len(losses) + 1)
            for i in range(n)
        ]
    )
    cells = {"ranking": "attribution", "suite": "redteam_eval"}
    return with_holm(pd.DataFrame(leave_out_rows(cells, whole, margins, answers, 24)), ["p"])


def test_no_single_neuron_may_be_necessary():
    text = leave_out_sentence(left_out([1.0, 0.0, 0.02])).replace("\u00a0", " ")
    assert text.startswith("**No single one of the 3** is necessary: together")
    assert "the one that counts most, takes away 10 % of it" in text
    assert "1 of 3 take away something" in text
    assert "Refusals are 67 % with the whole set and at least 60 %" in text


def test_one_may_be_necessary_and_the_set_may_do_nothing():
    assert leave_out_sentence(left_out([10.2, 0.1])).startswith("**1 of 2** neurons are necessary")
    table = left_out([0.0, 0.0])
    whole = table["rank"] == 0
    for end in ("", "_low", "_high"):
        table.loc[whole, f"margin{end}"] = -0.1
    assert "none of them can be told to be necessary" in leave_out_sentence(table)
