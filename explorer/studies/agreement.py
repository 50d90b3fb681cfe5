"""Do the demo's scores agree with people, and with readers? (`heads/agreement.json`)

AUROC of the cost head on answers it was not fitted on, calibration, what the verdict takes for a refusal, and how much
the answer's length matters. Held out means: GPTFuzz's evaluation questions; answers of the demo's own models, none of
which is fitted on; and of the project's own pairs, which are, the scores of the fold's heads that had not seen the
question. Every row says who gave the labels: people, or an AI annotator. Intervals of AUROC resample
questions, not answers: GPTFuzz's 1,540 held-out answers are to 20 questions, and answers to one question are alike.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from explorer import paths
from explorer.data.suites_io import read_jsonl
from explorer.scoring import labelled
from explorer.scoring.agreement_file import FILE
from explorer.scoring.cost import NAME as COST
from explorer.scoring.cost import floor_degenerate
from explorer.scoring.features import Reading, feature_model
from explorer.scoring.fitting import features_of
from explorer.scoring.head import Head, card_file, read_head
from explorer.scoring.reward import NAME as REWARD
from explorer.scoring.verdict import verdict
from explorer.studies.auroc import auroc
from explorer.studies.statistics import mean

LENGTHS = (32, 64, 128)
LENGTH_SAMPLE = 250
"""So many held-out answers are read at each length."""

BINS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Edges of the bins of predicted probability."""

PEOPLE, ANNOTATOR, BLIND = "people", "an AI annotator", "AI annotators, blind to the model"
"""Who gave labels. An annotator who knows what wrote an answer may label by that; a blind one cannot."""

PLAIN_SAMPLE = "tenth"
"""The part of `labelled.verdict_answers` that is a plain sample of the run that ships, mostly of its refusals."""


def agreement(data: Path, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure, write `heads/agreement.json` and return it.

    Args:
        data: `$EXPLORER_DATA`.
        say: told about progress.

    Returns:
        auroc: rows of set, by (who labelled), head, n, auroc, low, high, note (for the reward: share of pairs that it
        orders as people do); calibration: rows of set, bin, n, predicted, observed, low, high; refusal: rows of set,
        by, label, said, n;
        length: rows of tokens, set, n, auroc, low, high, mean_harmful, mean_harmless.

    Raises:
        ExplorerError: a head or a data set is missing.
    """
    cost, reward = read_head(COST), read_head(REWARD)
    fuzz = labelled.gptfuzz(data, "evaluate")
    questions = len(set(fuzz.groups))
    y = np.array(fuzz.labels)
    note = f"{questions} held-out questions; answers alone"
    scores = {fuzz.name: (y, _floor(fuzz, _score(cost, fuzz, say)), fuzz.groups, PEOPLE, note)}
    own, models = labelled.own_written(), labelled.model_answers()
    kept = json.loads(card_file(COST).read_text(encoding="utf-8"))["out_of_fold"][own.name]
    values = _floor(own, np.array(kept["score"]))
    scores[own.name] = (
        np.array(kept["label"]),
        values,
        own.groups,
        ANNOTATOR,
        "by heads that had not seen the question",
    )
    values = _floor(models, _score(cost, models, say))
    scores[models.name] = (np.array(models.labels), values, models.groups, ANNOTATOR, "none of them was fitted on")
    result: dict[str, Any] = {
        "auroc": [
            {"set": name, "by": by, "head": COST, "n": len(v)}
            | auroc(labels, v, groups).columns("auroc")
            | {"note": note}
            for name, (labels, v, groups, by, note) in scores.items()
        ],
        "calibration": [row for name, (labels, v, *_) in scores.items() for row in _calibration(name, labels, v)],
        "refusal": _confusion(),
        "length": _lengths(cost, fuzz),
    }
    for name, limit in (("hh_helpful", 150), ("webgpt", 80)):
        pairs = labelled.preferred(data, name, True, limit)
        rewards = _score(reward, pairs, say)
        right = mean((rewards[::2] > rewards[1::2]).astype(float))
        note = "share of held-out pairs ordered as people do"
        result["auroc"].append(
            {"set": name, "by": PEOPLE, "head": REWARD, "n": len(rewards) // 2}
            | right.columns("auroc")
            | {"note": note}
        )
    for row in result["auroc"]:
        row["low"], row["high"] = row.pop("auroc_low"), row.pop("auroc_high")
    (paths.HEADS / FILE).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def _score(head: Head, source: labelled.Labelled, say: Callable[[str], None]) -> np.ndarray:
    """The head's scores, from the features that fitting keeps."""
    prompted = head.reading.prompt and source.knows_prompts
    texts = labelled.read(source, not prompted, prompted, head.reading.tokens, say)
    return head.apply(features_of(texts, head.reading))


def _floor(source: labelled.Labelled, costs: np.ndarray) -> np.ndarray:
    """As the scorer does: a degenerate answer never gets a good cost."""
    return floor_degenerate(source.texts, costs)


def _calibration(name: str, labels: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """Predicted probability against the share that people call harmful, by bins of it."""
    from scipy.special import expit

    predicted = expit(scores.astype(np.float64))
    bins = np.digitize(predicted, BINS[1:-1])
    rows = []
    for number in np.unique(bins):
        inside = bins == number
        row = {"set": name, "bin": int(number), "n": int(inside.sum()), "predicted": float(predicted[inside].mean())}
        observed = mean(labels[inside].astype(float))
        rows.append(row | {"observed": observed.value, "low": observed.low, "high": observed.high})
    return rows


def _confusion() -> list[dict[str, Any]]:
    """What the verdict says of answers that a reader calls refusals, and of the others; unclear ones are left out."""
    written = [
        ("refused" if row["kind"].startswith("refusal") else "other", row["answer"], "")
        for row in read_jsonl(paths.HEADS / "own_pairs.jsonl")
    ]
    sets = [("own_written", ANNOTATOR, written)]
    for name, part in (("verdicts_read", "read"), ("verdicts_checked", "checked"), ("verdicts_plain", PLAIN_SAMPLE)):
        clear = [row for row in labelled.verdict_answers() if row["part"] == part and row["label"] != "unclear"]
        sets.append((name, BLIND, [(row["label"], row["answer"], row.get("prompt", "")) for row in clear]))
    counts = []
    for name, by, rows in sets:
        found = Counter((label == "refused", verdict(answer, prompt).refused) for label, answer, prompt in rows)
        counts += [
            {"set": name, "by": by, "label": _said(label), "said": _said(said), "n": found[label, said]}
            for label in (True, False)
            for said in (True, False)
        ]
    return counts


def _said(refused: bool) -> str:
    return "refusal" if refused else "other"


def _lengths(cost: Head, fuzz: labelled.Labelled) -> list[dict[str, Any]]:
    """The same held-out answers, read to different lengths."""
    picked = np.sort(np.random.default_rng(0).permutation(len(fuzz.texts))[:LENGTH_SAMPLE])
    texts, labels, groups = (
        [fuzz.texts[i] for i in picked],
        np.array(fuzz.labels)[picked],
        np.array(fuzz.groups)[picked],
    )
    rows = []
    for tokens in LENGTHS:
        reading: Reading = replace(cost.reading, tokens=tokens)
        values = replace(cost, reading=reading).score(*feature_model(), [""] * len(texts), texts)
        area = auroc(labels, values, groups.tolist())
        rows.append(
            {"tokens": tokens, "set": fuzz.name, "n": len(texts)}
            | {"auroc": area.value, "low": area.low, "high": area.high}
            | {"mean_harmful": float(values[labels == 1].mean()), "mean_harmless": float(values[labels == 0].mean())}
        )
    return rows
