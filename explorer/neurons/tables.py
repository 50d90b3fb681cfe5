"""A ranking as a table, with labels, for pages, exports and the command line."""

import numpy as np
import pandas as pd

from explorer.neurons.experts import split_experts
from explorer.neurons.ranking import Ranking

SHARED_EXPERT = -1
"""What stands for a mixture's shared expert in tables."""


def neuron_label(layer: int, neuron: int) -> str:
    """A neuron's name for people, and for lists that `NeuronSet.parse` reads: "L12.345"."""
    return f"L{layer}.{neuron}"


def expert_name(changes: Ranking, neuron: int) -> str:
    """Which expert of a mixture a neuron is of: "Expert 3, neuron 7"; "" for a model without experts."""
    if "experts" not in changes.meta:
        return ""
    expert, index = split_experts(neuron, changes.meta["experts"])
    shared = expert == changes.meta["experts"][0]
    return f"{'The shared expert' if shared else f'Expert {expert}'}, neuron {index}"


def neuron_table(changes: Ranking, flat: np.ndarray | None = None) -> pd.DataFrame:
    """The ranked neurons, best first.

    Args:
        changes: the scores.
        flat: int64 [rows], only these neurons (layer × n_neurons + index), in this order; all ranked
            ones when left out.

    Returns:
        Columns rank, neuron (label), layer, index, change_score, mean_m1, mean_m2, std_m1, std_m2
        (activation units); of a mixture of experts also expert (-1: the shared one) and index_in_expert.
    """
    order = changes.order if flat is None else np.asarray(flat, dtype=np.int64)
    layers, neurons = order // changes.n_neurons, order % changes.n_neurons
    frame = pd.DataFrame(
        {
            "rank": changes.ranks.reshape(-1)[order],
            "neuron": [neuron_label(a, b) for a, b in zip(layers.tolist(), neurons.tolist(), strict=True)],
            "layer": layers,
            "index": neurons,
            "change_score": changes.scores.reshape(-1)[order],
            "mean_m1": changes.mean1.reshape(-1)[order],
            "mean_m2": changes.mean2.reshape(-1)[order],
            "std_m1": changes.std1.reshape(-1)[order],
            "std_m2": changes.std2.reshape(-1)[order],
        }
    )
    if "experts" in changes.meta:
        expert, index = split_experts(neurons, changes.meta["experts"])
        frame.insert(4, "expert", np.where(expert == changes.meta["experts"][0], SHARED_EXPERT, expert))
        frame.insert(5, "index_in_expert", index)
    return frame
