"""Fit the demo's score heads and write them with their cards: what `python -m explorer fit-heads` runs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from explorer.scoring import cost, labelled, reward
from explorer.scoring.features import Reading, feature_model
from explorer.scoring.fitting import Chosen, Texts, fit_cost, fit_reward, readings
from explorer.scoring.head import write_head

HH_PAIRS, WEBGPT_PAIRS = 300, 120
"""So many pairs of each are fitted on."""

Say = Callable[[str], None]


def make_cost(data: Path, candidates: Sequence[Reading] | None = None, say: Say = print) -> dict[str, Any]:
    """Fit and write demo-cost on GPTFuzz and the project's own pairs.

    No answer of the models that it is to judge is among them: their labels were given by a reader who knew which model
    wrote what, so a head fitted on them would hold M2's way of refusing for harmless by its looks.

    Returns:
        The card. `out_of_fold` holds the held-out, calibrated score of every answer it was fitted on.
    """
    sources = [
        labelled.read(labelled.gptfuzz(data, "train", labelled.PER_QUESTION), True, False, cost.TOKENS_READ, say),
        labelled.read(labelled.own_written(), True, True, cost.TOKENS_READ, say),
    ]
    chosen = fit_cost(sources, candidates or readings(cost.TOKENS_READ), say)
    card = _card(chosen, sources, "AUROC") | {
        "calibration": "Platt: a line through the held-out scores",
        "out_of_fold": {
            s.name: {"score": np.round(chosen.out_of_fold[s.name], 3).tolist(), "label": s.labels.tolist()}
            for s in sources
        },
    }
    write_head(cost.NAME, chosen.head, card)
    return card


def make_reward(data: Path, candidates: Sequence[Reading] | None = None, say: Say = print) -> dict[str, Any]:
    """Fit and write demo-reward on what people preferred, and on M1's answers against what is no help.

    Returns:
        The card.
    """
    sources = [
        labelled.read(labelled.preferred(data, "hh_helpful", False, HH_PAIRS), False, True, reward.TOKENS_READ, say),
        labelled.read(labelled.preferred(data, "webgpt", False, WEBGPT_PAIRS), False, True, reward.TOKENS_READ, say),
        labelled.read(labelled.unhelpful(), False, True, reward.TOKENS_READ, say),
    ]
    chosen = fit_reward(sources, candidates or readings(reward.TOKENS_READ, (True,)), say)
    usual = labelled.usual_answers()
    zero = float(chosen.head.score(*feature_model(), usual.prompts, usual.texts).mean())
    card = _card(chosen, sources, "accuracy on pairs") | {"zero": f"the mean of {len(usual.texts)} answers of M1"}
    write_head(reward.NAME, replace(chosen.head, bias=-zero), card)
    return card


def _card(chosen: Chosen, sources: Sequence[Texts], measure: str) -> dict[str, Any]:
    reading = chosen.head.reading
    return {
        "head": "a linear head on frozen features of the embedded model",
        "layers": list(reading.layers),
        "pools": list(reading.pools),
        "reads_prompt": reading.prompt,
        "tokens_read": reading.tokens,
        "C": chosen.strength,
        "sources": [
            {"name": s.name, "answers": len(s.labels), "questions": len(set(s.groups)), "harmful": int(s.labels.sum())}
            if measure == "AUROC"
            else {"name": s.name, "pairs": len(s.labels) // 2, "questions": len(set(s.groups))}
            for s in sources
        ],
        "chosen_by": f"{measure} on held-out questions (5 folds), each source counting the same",
        "cross_validated": chosen.scores,
        "candidates": sorted(chosen.tried, key=lambda row: -sum(row[s.name] for s in sources)),
    }
