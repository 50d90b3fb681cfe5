"""Legends that stay whole on a narrow screen: as many columns as there is room for."""

from collections.abc import Sequence
from typing import Any

import altair as alt

_PER_CHARACTER, _SYMBOL = 6.3, 30
"""Pixels of a character of a label, and of the symbol with its padding."""


_LONG = 26
"""Longer labels stand in two lines where a colon divides them."""

_FEW = 3

_ROW = 18
"""Pixels of a line of a legend."""


def legend_height(labels: Sequence[str]) -> int:
    """Pixels to add to a chart's height, so that a legend of many or long labels takes little from what is drawn.

    On a phone each label has lines of its own; a page does not know how wide it is, so that short legends of more than
    `_FEW` labels get that room on every screen.
    """
    wide = sum(_SYMBOL + _PER_CHARACTER * max(map(len, _lines(label))) for label in labels)
    lines = sum(len(_lines(label)) for label in labels)
    return _ROW * (lines if wide >= 700 else max(0, lines - _FEW))


def _lines(label: str) -> list[str]:
    return label.split(": ", 1) if len(label) > _LONG else [label]


def top_legend(labels: Sequence[str], **options: Any) -> alt.Legend:
    """A legend above the chart whose columns follow the chart's width.

    Args:
        labels: of its entries; the longest one says how wide a column must be.
        options: others of the legend.
    """
    longest = max((len(line) for label in labels for line in _lines(label)), default=1)
    column = round(_SYMBOL + _PER_CHARACTER * longest)
    return alt.Legend(
        title=None,
        orient="top",
        symbolOpacity=1,
        columns=alt.ExprRef(f"max(1, min({max(1, len(labels))}, floor(width / {column})))"),
        labelExpr=f"length(datum.label) > {_LONG} ? split(datum.label, ': ', 2) : datum.label",
        labelLimit=320,
        **options,
    )
