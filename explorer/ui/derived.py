"""Tables that pages draw and that take more than a moment: computed once for all sessions.

Kept by run, ranking and numbers, never by arrays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from explorer.charts.ranks import rank_points
from explorer.charts.scores import score_map
from explorer.errors import ExplorerError
from explorer.neurons.overlap import layer_share, overlap_by_k, overlap_by_layer, overlap_grid
from explorer.neurons.tables import neuron_label
from explorer.report.addresses import neuron_address
from explorer.report.ranking_pairs import pairs_of, sizes
from explorer.runs.reader import Run
from explorer.ui.current_run import change_scores, explained, key_of, table

SHOWN = 2_000
"""Neurons that a scatter draws, or a list holds, at most."""


@dataclass(frozen=True)
class SharedNeurons:
    """What two aligned models do at the neurons that the top sets of both hold.

    Attributes:
        count: of those neurons.
        known: whether both rankings know the two models' mean activations there.
        same: share of them whose mean activation changes from M1 in the same direction in both.
        rho: Spearman's ρ of the two changes.
        ranks: neuron, x, y (its rank in either), series; of all neurons, at most `SHOWN`, evenly spread over the ranks.
        changes: neuron, x, y (the two changes), series; of the shared ones, at most `SHOWN`, evenly spread.
        listed: the first `SHOWN` shared ones as a table, with the address of each.
    """

    count: int
    known: bool
    same: float
    rho: float
    ranks: pd.DataFrame
    changes: pd.DataFrame
    listed: pd.DataFrame


def layer_shares(run: Run, ranking: str) -> pd.DataFrame:
    """Where the top sets of a ranking lie: `layer_share` for all sizes."""
    return _layer_shares(*key_of(run), ranking, sizes(run), run)


def layer_shares_of(run: Run, rankings: Mapping[str, str], fraction: float) -> pd.DataFrame:
    """`layer_share` of the top sets of several rankings, with a column series.

    Args:
        rankings: what each is called in that column, by name.
        fraction: one of `sizes`.
    """
    frames = []
    for ranking, label in rankings.items():
        shares = layer_shares(run, ranking)
        frames.append(shares[shares["fraction"] == fraction].assign(series=label))
    return pd.concat(frames, ignore_index=True)


def rank_points_of(run: Run, x: str, y: str, fraction: float) -> pd.DataFrame:
    """`rank_points` of two rankings."""
    return _rank_points(*key_of(run), x, y, fraction, run)


def score_cells(run: Run, ranking: str) -> pd.DataFrame:
    """The cells of `score_map`."""
    return _score_cells(*key_of(run), ranking, run)


def ranking_pairs(run: Run, fraction: float) -> pd.DataFrame:
    """All rankings against all: columns a, b, a_label, b_label, k, shared, overlap, chance, ratio, spearman."""
    with explained():
        return _ranking_pairs(*key_of(run), fraction, run)


def likeness_by_size(run: Run, a: str, b: str) -> pd.DataFrame:
    """`overlap_by_k` of two rankings for all sizes."""
    with explained():
        return _by_size(*key_of(run), a, b, sizes(run), run)


def likeness_grid(run: Run, a: str, b: str) -> pd.DataFrame:
    """`overlap_grid` of two rankings for all sizes."""
    with explained():
        return _grid(*key_of(run), a, b, sizes(run), run)


def likeness_by_layer(run: Run, a: str, b: str) -> pd.DataFrame:
    """`overlap_by_layer` of two rankings for all sizes, with a column fraction."""
    with explained():
        return _by_layer(*key_of(run), a, b, sizes(run), run)


def shared_rows(run: Run, a: str, b: str, fraction: float) -> pd.DataFrame:
    """The run's shared neurons of two adapters, of top sets of one size."""
    shared = table(run, "shared_neurons")
    shared = shared[(shared["a"] == a) & (shared["b"] == b)]
    return shared[(shared["fraction"] - fraction).abs() < 1e-9] if "fraction" in shared else shared


def shared_neurons(run: Run, a: str, b: str, fraction: float) -> SharedNeurons:
    """What a page shows of `shared_rows`."""
    return _shared_neurons(*key_of(run), a, b, fraction, run)


# -- the run itself is not part of the key: its folder and time of writing are ---------------------


@st.cache_data(max_entries=32, show_spinner=False)
def _layer_shares(folder: str, stamp: int, ranking: str, fractions: Sequence[float], _run: Run) -> pd.DataFrame:
    return layer_share(change_scores(_run, ranking), fractions)


@st.cache_data(max_entries=8, show_spinner=False)
def _rank_points(folder: str, stamp: int, x: str, y: str, fraction: float, _run: Run) -> pd.DataFrame:
    return rank_points(change_scores(_run, x), change_scores(_run, y), fraction)


@st.cache_data(max_entries=32, show_spinner=False)
def _score_cells(folder: str, stamp: int, ranking: str, _run: Run) -> pd.DataFrame:
    return score_map(change_scores(_run, ranking))


@st.cache_data(max_entries=32, show_spinner="Comparing the rankings…")
def _ranking_pairs(folder: str, stamp: int, fraction: float, _run: Run) -> pd.DataFrame:
    return pairs_of({name: change_scores(_run, name) for name in _run.rankings}, fraction)


@st.cache_data(max_entries=64, show_spinner=False)
def _by_size(folder: str, stamp: int, a: str, b: str, fractions: Sequence[float], _run: Run) -> pd.DataFrame:
    return overlap_by_k(change_scores(_run, a), change_scores(_run, b), fractions)


@st.cache_data(max_entries=64, show_spinner=False)
def _grid(folder: str, stamp: int, a: str, b: str, fractions: Sequence[float], _run: Run) -> pd.DataFrame:
    return overlap_grid(change_scores(_run, a), change_scores(_run, b), fractions)


@st.cache_data(max_entries=64, show_spinner=False)
def _by_layer(folder: str, stamp: int, a: str, b: str, fractions: Sequence[float], _run: Run) -> pd.DataFrame:
    first, second = change_scores(_run, a), change_scores(_run, b)
    frames = [overlap_by_layer(first, second, f).assign(fraction=f) for f in fractions]
    if not frames:
        raise ExplorerError("This model has too few neurons to compare top sets.")
    return pd.concat(frames, ignore_index=True)


@st.cache_data(max_entries=32, show_spinner=False)
def _shared_neurons(folder: str, stamp: int, a: str, b: str, fraction: float, _run: Run) -> SharedNeurons:
    shared = shared_rows(_run, a, b, fraction)
    first, second = change_scores(_run, a), change_scores(_run, b)
    order = first.order[_evenly(len(first.order))]
    ranks = pd.DataFrame(
        {
            "neuron": [neuron_label(int(i) // _run.n_neurons, int(i) % _run.n_neurons) for i in order],
            "x": first.ranks.reshape(-1)[order],
            "y": second.ranks.reshape(-1)[order],
            "series": "neurons",
        }
    )
    drawn = shared.iloc[_evenly(len(shared))]
    changes = pd.DataFrame(
        {
            "neuron": [neuron_label(i, j) for i, j in zip(drawn["layer"], drawn["neuron"], strict=True)],
            "x": drawn["delta_a"],
            "y": drawn["delta_b"],
            "series": drawn["same_sign"].map({True: "same direction", False: "opposite"}),
        }
    )
    best = shared.head(SHOWN)
    places = list(zip(best["layer"], best["neuron"], strict=True))
    listed = best[["rank_a", "rank_b", "delta_a", "delta_b", "same_sign"]].assign(
        look=[neuron_address(*p) for p in places]
    )
    listed.insert(0, "label", [neuron_label(*place) for place in places])
    return SharedNeurons(
        len(shared),
        bool(shared[["delta_a", "delta_b"]].notna().all(axis=None)),
        float(shared["same_sign"].mean()),
        float(shared["delta_a"].corr(shared["delta_b"], method="spearman")),
        ranks[ranks["y"] > 0],
        changes,
        listed,
    )


def _evenly(count: int) -> slice:
    """Which of so many rows are drawn: at most `SHOWN`, evenly spread."""
    return slice(None, None, max(1, -(-count // SHOWN)))
