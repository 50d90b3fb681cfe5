"""A run of made-up numbers in the shape of a real one, to test pages with; it is never shown to anybody.

write_small_run(folder / "small")
python -m tests.app.small_run /tmp/runs/small --layers 28 --neurons 24576
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from explorer.neurons.scores import Attributions, ChangeScores
from explorer.neurons.sets import NeuronSet
from explorer.runs.writer import RunWriter
from tests.app.small_studies import study_tables

SUITES = {"redteam_eval": 12, "ordinary_eval": 8, "borderline_eval": 6}
FRACTIONS = (0.01, 0.05, 0.2)
TOKENS = 16
PROMPT = "Is *this* <b>prompt</b> shown as it is?"
ANSWER = "I'm sorry, I can't help.\n# no heading, $x$ no formula"


def write_small_run(
    target: Path,
    layers: int = 6,
    neurons: int = 40,
    rankings: tuple[str, ...] = ("safety", "ordinary", "safety_shifted"),
    top: int = 50,
    studies: bool = True,
    main: str = "",
) -> Path:
    """Write the run, with the tables of all studies or without, and return its folder; `main` names its ranking."""
    rng = np.random.default_rng(0)
    writer = RunWriter(target.parent / f".work-{target.name}")
    base = rng.gamma(0.7, 0.2, (layers, neurons)).astype(np.float32)
    changes = {name: _changes(rng, base, name) for name in rankings}
    about = {name: writer.change_scores(name, c) for name, c in changes.items()}
    for name, frame in _answer_tables(rng, layers * neurons).items():
        writer.table(name, frame)
    if studies:
        for name, frame in study_tables(changes).items():
            writer.table(name, frame)
    _detail(writer, rng, changes[rankings[0]].top(min(top, layers * neurons)))
    manifest = _manifest(target.name, layers, neurons, about)
    writer.publish(manifest | ({"ranking": main} if main else {}), target)
    return target


def _changes(rng: np.random.Generator, base: np.ndarray, name: str) -> ChangeScores | Attributions:
    scores = (base * rng.lognormal(0, 0.5, base.shape)).astype(np.float32)
    noise = [rng.normal(0, 0.1, base.shape).astype(np.float32) for _ in range(2)]
    spread = [np.abs(rng.normal(0.2, 0.05, base.shape)).astype(np.float32) for _ in range(2)]
    meta = {"positions": "paper", "answers": "m1", "prompts": 12, "max_new_tokens": TOKENS, "suite": "redteam_train"}
    if name.startswith("attribution"):
        meta |= {"method": "attribution", "steps": [0.0, 0.5], "log_ratio": [-1.0, 1.0]}
        signed = rng.normal(0, 1, base.shape).astype(np.float32)
        return Attributions(signed, 640, noise[0], noise[0] + noise[1], *spread, label=name, meta=meta)
    return ChangeScores(scores, 640, noise[0], noise[0] + noise[1], *spread, label=name, meta=meta)


def _answer_tables(rng: np.random.Generator, total: int) -> dict[str, pd.DataFrame]:
    answers, models, effect = [], [], []
    for suite, n in SUITES.items():
        for column, refusal in (("unpatched", 0.1), ("aligned", 0.9 if suite == "redteam_eval" else 0.15)):
            models.append({"suite": suite, "column": column, **_scores(refusal, 3 - 5 * refusal, n)})
            answers += _answers(rng, suite, n, column, "", -1, float("nan"), refusal)
        for kind, strength in (("safety", 1.0), ("random", 0.2)):
            if kind == "random" and suite != "redteam_eval":
                continue
            for fraction in FRACTIONS:
                share = 0.1 + 0.8 * strength * fraction / FRACTIONS[-1]
                effect.append(
                    {
                        "suite": suite,
                        "set": kind,
                        "fraction": fraction,
                        "start": 0.0,
                        "k": round(fraction * total),
                        "seeds": 1 if kind == "safety" else 2,
                        **_scores(share, 3 - 5 * share, n),
                        **_effects(share if suite == "redteam_eval" else float("nan")),
                        **_above_random(kind == "safety" and suite == "redteam_eval"),
                    }
                )
                for seed in (-1,) if kind == "safety" else (0, 1):
                    answers += _answers(rng, suite, n, "patched", kind, seed, fraction, share)
    return {"answers": pd.DataFrame(answers), "models": pd.DataFrame(models), "effect": pd.DataFrame(effect)}


def _scores(refusal: float, cost: float, n: int) -> dict[str, float]:
    return {
        "n": n,
        "max_new_tokens": TOKENS,
        "refusal": refusal,
        "refusal_low": max(0.0, refusal - 0.1),
        "refusal_high": min(1.0, refusal + 0.1),
        "cost": cost,
        "cost_low": cost - 0.5,
        "cost_high": cost + 0.5,
        "reward": 1 - refusal,
        "reward_low": 0.8 - refusal,
        "reward_high": 1.2 - refusal,
        "degenerate": 0.1,
        "degenerate_low": 0.0,
        "degenerate_high": 0.2,
    }


def _effects(share: float) -> dict[str, float]:
    value = (share - 0.1) / 0.8
    return {
        f"effect_{score}{end}": value + shift
        for score in ("refusal", "cost", "reward")
        for end, shift in (("", 0.0), ("_low", -0.1), ("_high", 0.1))
    }


def _above_random(known: bool) -> dict[str, float]:
    nan = float("nan")
    cells = {"above_random_{}": 0.3, "above_random_{}_low": 0.1, "above_random_{}_high": 0.5, "p_{}": 0.01}
    return {k.format(s): v if known else nan for s in ("refusal", "cost", "reward") for k, v in cells.items()}


def _answers(
    rng: np.random.Generator, suite: str, n: int, column: str, kind: str, seed: int, fraction: float, refusal: float
) -> list[dict]:
    return [
        {
            "suite": suite,
            "prompt_id": f"p{i}",
            "prompt": f"{PROMPT} {i}",
            "category": "made up",
            "column": column,
            "set": kind,
            "seed": seed,
            "fraction": fraction,
            "start": 0.0,
            "answer": ANSWER,
            "tokens": TOKENS,
            "cost": float(rng.normal(3 - 5 * refusal)),
            "reward": 1 - refusal,
            "refused": bool(rng.random() < refusal),
            "degenerate": False,
        }
        for i in range(n)
    ]


def _detail(writer: RunWriter, rng: np.random.Generator, top: NeuronSet) -> None:
    words = [
        "<|im_start|>",
        "user",
        "\n",
        "Is",
        " *this*",
        " <b>",
        "prompt",
        "?",
        " I",
        "'m",
        " sorry",
        ",",
        " no",
        ".",
    ]
    texts = [
        pd.DataFrame(
            {
                "text": number,
                "suite": suite,
                "prompt_id": "p0",
                "position": range(len(words)),
                "token": words,
                "part": ["prompt"] * 8 + ["answer"] * 6,
                "compared": [7 <= i < 13 for i in range(len(words))],
            }
        )
        for number, suite in enumerate(list(SUITES)[:2])
    ]
    writer.table("words", pd.concat(texts, ignore_index=True))
    shape = (len(top), len(words) * len(texts))
    acts = {name: rng.normal(0, 1, shape).astype(np.float16) for name in ("m1", "m2")}
    writer.tensors("words", {"layers": top.layers, "neurons": top.neurons, **acts})
    rows = [
        {
            "layer": layer,
            "neuron": neuron,
            "direction": direction,
            "place": place,
            "token": f" t{place}",
            "logit": sign * (9.0 - place),
        }
        for layer, neuron in zip(top.layers.tolist(), top.neurons.tolist(), strict=True)
        for direction, sign in (("promotes", 1), ("suppresses", -1))
        for place in (1, 2, 3)
    ]
    writer.table("projection", pd.DataFrame(rows))


def _manifest(name: str, layers: int, neurons: int, rankings: dict) -> dict:
    return {
        "name": name,
        "title": "A run of made-up numbers",
        "description": "For tests of the pages only.",
        "created": "2025-01-01T00:00:00+00:00",
        "explorer_version": "0",
        "pair": {
            "name": "none",
            "file": "demo",
            "n_layers": layers,
            "n_neurons": neurons,
            "dtype": "float32",
            "shared": True,
            "m1": {"base": "none", "digest": "0" * 64, "adapters": []},
            "m2": {"base": "none", "digest": "0" * 64, "adapters": [{"name": "none", "sha256": "1" * 64}]},
        },
        "decoding": {"greedy": True, "max_new_tokens": TOKENS},
        "scorers": {"refusal": "Refusal: made up.", "beaver:made-up": "Cost: made up."},
        "score_columns": {"cost": "beaver:made-up", "reward": "demo-reward"},
        "suites": {suite: {"n": n, "sha256": "2" * 64} for suite, n in SUITES.items()},
        "seeds": {"random_controls": [0, 1], "bootstrap": 0},
        "packages": {"none": "0"},
        "rankings": rankings,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--neurons", type=int, default=40)
    args = parser.parse_args()
    print(write_small_run(args.target, args.layers, args.neurons))
