"""Neurons that are chosen in a chart, with a box or a lasso, as a set for the Patch lab."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from explorer.ui.lab_links import send_list

HINT = "Draw a box or a lasso around points to patch them alone."
"""How to choose, for captions."""


def chosen_neurons(key: str) -> list[tuple[int, int]]:
    """Layer and index of each neuron chosen in a Plotly chart whose customdata begins with these two.

    Args:
        key: of the chart, which has been drawn with `on_select`.
    """
    points = st.session_state[key].selection.points if key in st.session_state else ()
    return list(dict.fromkeys(_neuron(point) for point in points if point.get("customdata") is not None))


def offer_chosen(neurons: list[tuple[int, int]], key: str, **controls: Any) -> None:
    """The way to the lab with what is chosen, at least one neuron.

    Args:
        neurons: layer and index of each, the first ones first.
        key: of the button.
        controls: others of the lab's.
    """
    some = f"these {len(neurons):,} neurons" if len(neurons) > 1 else "this neuron"
    send_list(f"Patch {some}", [f"{layer}.{index}" for layer, index in neurons], key, **controls)


def _neuron(point: dict[str, Any]) -> tuple[int, int]:
    data = point["customdata"]  # of typed arrays the browser sends {"0": …, "1": …}, of others a list
    first, second = (data["0"], data["1"]) if isinstance(data, Mapping) else data[:2]
    return int(first), int(second)
