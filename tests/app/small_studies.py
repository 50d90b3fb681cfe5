"""Made-up tables of every study in the shape of real ones; those that only need rankings are computed."""

import math
from collections.abc import Mapping

import pandas as pd

from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.studies.likeness import likeness_table
from explorer.studies.place import place_table, sparsity_table
from explorer.studies.tax import shared_table
from tests.app.small_paths import path_tables

TOKENS = 16


def study_tables(changes: Mapping[str, Ranking]) -> dict[str, pd.DataFrame]:
    """All tables, by name."""
    names = list(changes)
    tables = {
        "restoring": _restoring(),
        "transfer": _matrix("suite", {"safety": "redteam_eval", "of_everyday": "everyday_eval"}),
        "transfer_answers": _matrix_answers("suite", ["safety", "of_everyday"], ["redteam_eval", "everyday_eval"]),
        "categories": _matrix("category", {"self_harm": "self_harm", "drugs,arms": "drugs,arms"}),
        "categories_answers": _matrix_answers("category", ["self_harm", "drugs,arms"], ["self_harm", "drugs,arms"]),
        "safeguard": _safeguard(),
        "capability": _capability(),
        "identification": _identification(),
        "sparsity": sparsity_table(changes),
        "place": place_table(changes),
        "single_neurons": _single_neurons(names[0], changes[names[0]]),
        "single_beside": _single_beside(names[0], changes[names[0]]),
    }
    tables |= path_tables(tokens=TOKENS)
    if len(names) > 1:
        a, b = names[:2]
        tables |= {
            "seeds": likeness_table(changes),
            "tax": pd.DataFrame([row for s in ("shared", "random") for row in _swaps(a, b, s)]),
            "ablation": _ablation(a, b),
            "shared_neurons": shared_table((a, b), changes[a], changes[b], 0.3),
        }
    return tables


def _single_neurons(name: str, ranking: Ranking) -> pd.DataFrame:
    top, rows = ranking.top(3), []
    for direction, sign in (("restore", 1.0), ("break", -1.0)):
        for rank, (layer, neuron) in enumerate(zip(top.layers.tolist(), top.neurons.tolist(), strict=True), 1):
            cells = {"ranking": name, "direction": direction, "suite": "redteam_eval", "rank": rank, "layer": layer}
            cells |= {"neuron": neuron, "n": 12, "max_new_tokens": TOKENS, "refusal_before": 0.1, "cost_before": 1.0}
            cells |= _interval("refusal", 0.2) | _interval("cost", 0.5) | _interval("margin", sign / rank, 0.4)
            rows.append(cells | _interval("refusal_change", 0.1) | _interval("cost_change", -0.5))
    return pd.DataFrame(rows)


def _single_beside(name: str, ranking: Ranking) -> pd.DataFrame:
    chosen, rows = NeuronSet.random_like(ranking.top(3)), []
    for direction, sign in (("restore", 0.1), ("break", -0.1)):
        for rank, (layer, neuron) in enumerate(zip(chosen.layers.tolist(), chosen.neurons.tolist(), strict=True), 1):
            cells = {"ranking": name, "set": "random", "direction": direction, "suite": "redteam_eval", "rank": rank}
            cells |= {"layer": layer, "neuron": neuron, "n": 12, "max_new_tokens": TOKENS}
            rows.append(cells | _interval("margin", sign * rank, 0.25))
    return pd.DataFrame(rows)


def _interval(name: str, value: float, half: float = 0.1) -> dict[str, float]:
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half}


def _restoring() -> pd.DataFrame:
    rows = []
    for score, fraction in (("refusal", 0.17), ("cost", math.inf)):
        cells = {"fraction": fraction, "fraction_low": 0.1, "fraction_high": math.inf}
        head = {"suite": "redteam_eval", "score": score, "share": 0.9}
        rows.append({**head, **cells, "largest": 0.2, "n": 12, "max_new_tokens": TOKENS})
    return pd.DataFrame(rows)


def _matrix(kind: str, sources: dict[str, str]) -> pd.DataFrame:
    rows = []
    for source, own in sources.items():
        for other, target in sources.items():
            value = 0.8 if own == target else 0.5
            cells = {"kind": kind, "source": source, "target": target, "own": other, "k": 12, "fraction": 0.05}
            cells |= {"n": 10, "max_new_tokens": TOKENS, "shared": value, "chance": 0.05}
            for score in ("refusal", "cost", "reward"):
                cells |= _interval(score, value) | _interval(f"effect_{score}", value)
            rows.append(cells)
    return pd.DataFrame(rows)


def _matrix_answers(kind: str, sources: list[str], targets: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "kind": kind,
                "source": source,
                "target": target,
                "prompt_id": f"p{i}",
                "prompt": f"A prompt & <b>more</b> {i}",
                "category": "made up",
                "answer": "# no heading",
                "cost": 1.25,
                "reward": 0.5,
                "refused": i % 2 == 0,
            }
            for source in sources
            for target in targets
            for i in range(3)
        ]
    )


def _swaps(a: str, b: str, kind: str) -> list[dict]:
    rows = []
    for into, out_of in ((a, b), (b, a)):
        for score in ("refusal", "cost", "reward"):
            cells = {"a": a, "b": b, "into": into, "activations_of": out_of, "set": kind, "suite": "redteam_eval"}
            cells |= {"fraction": 0.3, "k": 20, "score": score, "n": 12, "max_new_tokens": TOKENS, "p": 0.02}
            cells |= _interval("before", 0.2) | _interval("after", 0.5)
            rows.append(cells | _interval("delta", 0.3 if kind == "shared" else 0.05))
    return rows


def _ablation(a: str, b: str) -> pd.DataFrame:
    rows = []
    plans = [("m1", f"activations of {a}"), ("m1", f"activations of {b}"), (a, "zero"), (a, "mean")]
    for into, value in plans:
        for kind in ("shared", "only_a", "only_b"):
            cells = {"a": a, "b": b, "suite": "everyday_eval", "into": into, "set": kind, "value": value}
            cells |= {"fraction": 0.3, "k": 20, "score": "refusal", "n": 12, "max_new_tokens": TOKENS, "p": 0.5}
            rows.append(cells | _interval("before", 0.2) | _interval("after", 0.3) | _interval("delta", 0.1))
    return pd.DataFrame(rows)


def _safeguard() -> pd.DataFrame:
    rows = []
    for kind, seed, right in (("safety", -1, 0.8), ("random", 0, 0.7), ("random", 1, 0.72)):
        for k in (10, 150):
            for train in ("redteam_eval", "everyday_eval"):
                for test in ("redteam_eval", "everyday_eval"):
                    cells = {"neurons": kind, "seed": seed, "k": k, "train": train, "train_n": 20, "test": test}
                    cells |= {"n": 30, "majority": 0.6, "auroc": right, "coverage": 0.5, "accepted_cost": -1.0}
                    rows.append(cells | _interval("accuracy", right) | {"all_cost": 0.5, "harmful": 0.6})
    return pd.DataFrame(rows)


def _capability() -> pd.DataFrame:
    rows = []
    for task, measure, value, change in (
        ("wikitext2", "perplexity", 30.0, 1.2),
        ("mmlu", "accuracy", 0.3, 0.01),
        ("truthfulqa", "accuracy", 0.3, -0.02),
    ):
        for model, fraction in (("M1", 0.0), ("patched", 0.05), ("M2", 1.0)):
            still = 1.0 if measure == "perplexity" else 0.0
            found = still if model == "M1" else change
            cells = {"task": task, "measure": measure, "model": model, "fraction": fraction, "n": 20}
            rows.append(cells | _interval("value", value, 0.05) | _interval("change", found, 0.05))
    return pd.DataFrame(rows)


def _identification() -> pd.DataFrame:
    rows = []
    for name, shared in (("safety", 12), ("prompt_difference", 4)):
        cells = {"ranking": name, "fraction": 0.05, "k": 12, "shared": shared, "overlap": shared / 12, "chance": 0.05}
        cells |= {"spearman": 0.5, "suite": "redteam_eval", "n": 12, "max_new_tokens": TOKENS}
        for score in ("refusal", "cost", "reward"):
            cells |= _interval(score, 0.4) | _interval(f"effect_{score}", shared / 20)
        rows.append(cells)
    return pd.DataFrame(rows)
