"""Tables of the studies of logits from numbers made by hand, by the studies' own functions."""

import numpy as np
import pandas as pd

from explorer.neurons.sets import NeuronSet
from explorer.studies.compared_sets import ComparedSet
from explorer.studies.logit_attribution import LogitAttributionSpec, parts_table, prompts_table, top_neurons
from explorer.studies.logit_lens import lens_table

N, LAYERS = 60, 3
SETS = tuple(
    ComparedSet(name, NeuronSet(np.array(layers), np.array(neurons), LAYERS, 24))
    for name, layers, neurons in (
        ("attribution", [0, 2, 2], [3, 5, 7]),
        ("safety", [2, 2, 2], [1, 2, 3]),
        ("random", [0, 2, 2], [4, 8, 9]),
    )
)
TOTALS = {"attribution": 4.0, "safety": 1.0, "random": 0.0, "m2": 5.0}


def parts(direct: float, totals=TOTALS) -> dict[str, np.ndarray]:
    """What the task gives: of every row this share direct, in the last layer, the rest by attention in layer 1."""
    spread = 0.2 * np.linspace(-1, 1, N)
    found = {name: np.zeros((4, LAYERS, N)) for name in ("direct", "neurons", "attention")}
    found["total"] = np.stack([total + spread for total in totals.values()])
    found["direct"][:, 2], found["attention"][:, 1] = direct * found["total"], (1 - direct) * found["total"]
    found |= {"embedding": np.zeros((4, N)), "readout": np.zeros((4, N)), "before": spread}
    for i in range(3):
        terms = np.stack([np.zeros(N), 0.75 * found["direct"][i, 2], 0.25 * found["direct"][i, 2]])
        found |= {f"by_neuron{i}": terms.astype(np.float32), f"change{i}": np.full((3, N), -2.0, np.float32)}
    return found


def attribution_tables(direct: float = 0.8, totals=TOTALS) -> dict[str, pd.DataFrame]:
    """All tables of `logit_attribution`."""
    found, asked = parts(direct, totals), LogitAttributionSpec(ranking="attribution", beside=("safety",), fraction=0.05)
    prompts = [(f"p{i}", f"A prompt & <b>more</b> {i}") for i in range(N)]
    return {
        "logit_attribution": parts_table(asked, SETS, found, 0),
        "logit_attribution_neurons": top_neurons("redteam_eval", SETS, found, 2).assign(promotes="·I", suppresses="·A"),
        "logit_attribution_prompts": prompts_table("redteam_eval", SETS, found, prompts),
    }


def lens_tables(ends=TOTALS) -> dict[str, pd.DataFrame]:
    """All tables of `logit_lens`: M1 at 1 throughout, the others further by their end from layer 1 on."""
    spread, models = 0.2 * np.linspace(-1, 1, N), ("m1", *ends)
    found = np.ones((5, LAYERS + 1, N)) + spread
    for row, end in enumerate(ends.values(), 1):
        found[row, 2] += end / 4
        found[row, 3] += end
    rows = [
        {"suite": "redteam_eval", "prompt_id": "p1", "prompt": "A prompt & more", "model": model, "position": at}
        | {"token": token, "layer": layer, "margin": float(row + at)}
        for row, model in enumerate(models)
        for at, token in enumerate((" A", "b\n", " A"))
        for layer in range(-1, LAYERS)
    ]
    return {"logit_lens": lens_table("redteam_eval", models, found), "logit_lens_tokens": pd.DataFrame(rows)}
