"""A run of two rankings and both directions: answers are made up, every table is computed from them as a build does."""

from pathlib import Path

import numpy as np
import pandas as pd

from explorer.runs.writer import RunWriter
from explorer.studies.effect import effect_table, model_table, restoring_table
from explorer.studies.fewest import Measured, fewest_table
from explorer.studies.judges import judge_table
from tests.app.small_run import TOKENS, _changes, _manifest

LAYERS, NEURONS = 6, 400
FRACTIONS = (0.0005, 0.005, 0.01, 0.05, 0.2, 1.0)
PROMPTS = 40
METHODS = {"attribution": "attribution", "safety": "contrast"}
STRENGTH = {  # the share of the gap at each fraction
    "attribution": (0.1, 0.7, 1.0, 1.0, 1.0, 1.0),
    "safety": (0.0, 0.0, 0.0, 0.1, 0.6, 1.0),
    "random": (0.0, 0.0, 0.0, 0.0, 0.0, 0.1),
}
SUITES = ("redteam_eval", "everyday_eval")
SCORES = ("refusal", "cost", "degenerate")


def write_two_rankings(target: Path) -> Path:
    """Write the run, and return its folder."""
    rng = np.random.default_rng(1)
    writer = RunWriter(target.parent / f".work-{target.name}")
    base = rng.gamma(0.7, 0.2, (LAYERS, NEURONS)).astype(np.float32)
    about = {}
    for name, method in METHODS.items():
        about[name] = writer.change_scores(name, _changes(rng, base, name))
        about[name]["meta"] = {**about[name]["meta"], "method": method}
    measured = {}
    for direction, suffix in (("restore", ""), ("break", "_break")):
        answers = pd.DataFrame([row for suite in SUITES for row in _suite(rng, suite, direction)])
        effect = effect_table(answers, TOKENS, LAYERS * NEURONS, SCORES)
        restoring = restoring_table(answers, TOKENS, SCORES)
        measured[direction] = Measured(answers, effect, restoring)
        for name, frame in {
            "answers": answers,
            "models": model_table(answers, TOKENS, SCORES),
            "effect": effect,
            "restoring": restoring,
            "judges": judge_table(answers),
        }.items():
            writer.table(name + suffix, frame)
    writer.table("fewest", fewest_table(measured, METHODS, "attribution", "everyday_eval", TOKENS))
    manifest = _manifest(target.name, LAYERS, NEURONS, about)
    writer.publish({**manifest, "ranking": "attribution", "headline": "redteam_eval"}, target)
    return target


def _suite(rng: np.random.Generator, suite: str, direction: str) -> list[dict]:
    """All answers to a suite: what is patched goes from the one model's refusals to the other's."""
    m1, m2 = (0.0, 0.0) if suite == "everyday_eval" else (0.1, 0.9)
    here, there = (m1, m2) if direction == "restore" else (m2, m1)
    rows = _rows(rng, suite, "unpatched", here) + _rows(rng, suite, "aligned", there)
    for name, strength in STRENGTH.items():
        for fraction, share in zip(FRACTIONS, strength, strict=True):
            refusal = here + share * (there - here)
            kind = "random" if name == "random" else "safety"
            ranking = "attribution" if name == "random" else name
            for seed in (0, 1) if kind == "random" else (-1,):
                rows += _rows(rng, suite, "patched", refusal, ranking, kind, seed, fraction)
    return rows


def _rows(
    rng: np.random.Generator,
    suite: str,
    column: str,
    refusal: float,
    ranking: str = "",
    kind: str = "",
    seed: int = -1,
    fraction: float = float("nan"),
) -> list[dict]:
    refused = np.arange(PROMPTS) < round(refusal * PROMPTS)
    return [
        {
            "suite": suite,
            "column": column,
            "ranking": ranking,
            "set": kind,
            "seed": seed,
            "fraction": fraction,
            "start": 0.0,
            "prompt_id": f"p{i}",
            "prompt": f"A *prompt* {i} of {suite}",
            "category": "made up",
            "answer": "I can't help." if refuses else "Here is how.",
            "tokens": TOKENS,
            "cost": float((-2 if refuses else 2) + rng.normal(0, 0.3)),
            "reward": 0.0,
            "refused": bool(refuses),
            "verdict": "refused" if refuses else "answered",
            "degenerate": i == PROMPTS - 1,
        }
        for i, refuses in enumerate(refused)
    ]
