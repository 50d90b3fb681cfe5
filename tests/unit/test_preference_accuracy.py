"""The implicit reward's accuracy, against a recomputation one text at a time."""

import numpy as np
import pytest
import torch

from explorer.data.preferences import Preference
from explorer.errors import ExplorerError
from explorer.models.prompting import encode_dialogue
from explorer.studies.preferences import preference_accuracy
from tests import tiny
from tests.close import assert_close

PAIRS = [Preference((("user", f"Question {i}?"),), "yes " * (i + 1), "no, never") for i in range(11)]


def naive(model, tokenizer, preference, answer):
    prompt = encode_dialogue(tokenizer, preference.turns)
    ids = [*tokenizer(answer)["input_ids"], tokenizer.eos_token_id][:12]
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
    return sum(float(logits[len(prompt) - 1 + i, token]) for i, token in enumerate(ids))


def test_accuracy_and_margin_equal_a_naive_recomputation():
    pair = tiny.shared_pair()
    margins = [
        (naive(pair.m2, pair.tokenizer, p, p.chosen) - naive(pair.m1, pair.tokenizer, p, p.chosen))
        - (naive(pair.m2, pair.tokenizer, p, p.rejected) - naive(pair.m1, pair.tokenizer, p, p.rejected))
        for p in PAIRS
    ]
    longest = max(abs(naive(pair.m1, pair.tokenizer, p, p.chosen)) for p in PAIRS)  # what margins are differences of
    row = preference_accuracy(pair, PAIRS, 12).iloc[0]
    assert row["n"] == 11
    assert row["accuracy"] == pytest.approx(np.mean(np.array(margins) > 0))
    assert_close(row["margin"], np.mean(margins), layers=pair.n_layers, scale=longest)
    assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]


def test_no_pairs_is_one_sentence():
    with pytest.raises(ExplorerError, match="no preference pairs"):
        preference_accuracy(tiny.shared_pair(), [])
