"""Does an adapter prefer what people prefer? Accuracy of its implicit reward on held-out pairs.

DPO makes a model its own reward model (Rafailov et al. 2023): r(x, y) = β (log π_M2(y|x) − log π_M1(y|x)). A pair is
right where the chosen answer's reward is above the rejected one's; β does not matter for that.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from explorer.data.preferences import Preference
from explorer.errors import ExplorerError
from explorer.models.padding import padded
from explorer.models.pair import Pair
from explorer.models.prompting import encode_answer, encode_dialogue
from explorer.progress import Progress, part_of
from explorer.studies.statistics import mean

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BATCH = 8

Text = tuple[list[int], list[int]]
"""Token ids of a prompt and of an answer to it."""


def preference_accuracy(
    pair: Pair,
    preferences: Sequence[Preference],
    max_answer_tokens: int = 64,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """How often M2's implicit reward against M1 prefers the chosen answer.

    Args:
        pair: the adapter's pair; M1 is the reference.
        preferences: pairs that were never trained on.
        max_answer_tokens: answers are read so far, as in training.
        progress: told the share that is done.

    Returns:
        One row: n, max_answer_tokens, accuracy, accuracy_low, accuracy_high (95 % Wilson interval),
        margin, margin_low, margin_high (mean difference of the two rewards with β = 1, in nats).

    Raises:
        ExplorerError: there are no pairs.
    """
    if not preferences:
        raise ExplorerError("There are no preference pairs to measure on; give at least one.")
    texts: list[Text] = []
    for preference in preferences:
        prompt = encode_dialogue(pair.tokenizer, preference.turns)
        answers = (
            encode_answer(pair.tokenizer, answer, preference.turns)
            for answer in (preference.chosen, preference.rejected)
        )
        texts += [(prompt, answer[:max_answer_tokens]) for answer in answers]
    rewards = log_probs(pair.m2, texts, part_of(progress, 0.5, 0.5)) - log_probs(
        pair.m1, texts, part_of(progress, 0, 0.5)
    )
    margins = rewards[::2] - rewards[1::2]
    row: dict[str, float] = {"n": len(preferences), "max_answer_tokens": max_answer_tokens}
    row |= mean((margins > 0).astype(float)).columns("accuracy") | mean(margins).columns("margin")
    return pd.DataFrame([row])


def log_probs(model: "PreTrainedModel", texts: Sequence[Text], progress: Progress | None = None) -> np.ndarray:
    """float64 [n]: log-probability of each answer after its prompt, summed over its tokens, in nats."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i][0]) + len(texts[i][1]))
    out = np.zeros(len(texts))
    for start in range(0, len(order), BATCH):
        chunk = order[start : start + BATCH]
        out[chunk] = _batch_log_probs(model, [texts[i] for i in chunk])
        if progress:
            progress(min(1.0, (start + BATCH) / len(order)))
    return out


def _batch_log_probs(model: "PreTrainedModel", texts: list[Text]) -> np.ndarray:
    ids = padded([prompt + answer for prompt, answer in texts])
    predicts = torch.zeros(ids.shape, dtype=torch.bool)  # positions that predict an answer's token
    for row, (prompt, answer) in enumerate(texts):
        predicts[row, len(prompt) - 1 : len(prompt) + len(answer) - 1] = True
    with torch.inference_mode():
        hidden = model.base_model(input_ids=ids.to(model.device), use_cache=False).last_hidden_state
        logits = model.get_output_embeddings()(hidden[predicts.to(hidden.device)]).float()
        targets = torch.tensor([token for _, answer in texts for token in answer], device=logits.device)
        found = logits.log_softmax(dim=-1).gather(1, targets[:, None]).squeeze(1).double().cpu()
    return np.array([float(part.sum()) for part in found.split([len(answer) for _, answer in texts])])
