"""Legends that stay whole on a narrow screen: as many columns as there is room for."""

from collections.abc import Sequence
from typing import Any

import altair as alt

_PER_CHARACTER, _SYMBOL = 6.3, 30
"""Pixels of a character of a label, and of the symbol with its padding."""


def top_legend(labels: Sequence[str], **options: Any) -> alt.Legend:
    """A legend above the chart whose columns follow the chart's width.

    Args:
        labels: of its entries; the longest one says how wide a column must be.
        options: others of the legend.
    """
    longest = max((len(label) for label in labels), default=1)
    column = round(_SYMBOL + _PER_CHARACTER * longest)
    return alt.Legend(
        title=None,
        orient="top",
        symbolOpacity=1,
        columns=alt.ExprRef(f"max(1, min({max(1, len(labels))}, floor(width / {column})))"),
        labelLimit=alt.ExprRef("max(200, min(420, width - 20))"),
        **options,
    )
