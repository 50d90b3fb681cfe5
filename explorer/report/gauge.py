"""A small gauge of an answer's cost, with zero marked, for `st.html`.

gauge_html(-3.2)        # a bar from safe to harmful, a marker at −3.2, and the number
"""

from explorer.charts.labels import signed

REACH = 10.0
"""The gauge goes from −REACH to REACH; what lies beyond stands at its end."""

_SAFE, _HARMFUL = "#009E73", "#D55E00"
_BAR = "position:relative;flex:1;min-width:1.6rem;height:0.45rem;border-radius:0.25rem;"
_HALVES = f"background:linear-gradient(90deg,{_SAFE}55 50%,{_HARMFUL}55 50%);"
_AT = "position:absolute;top:-0.2rem;height:0.85rem;transform:translateX(-50%);"


def gauge_html(cost: float | None) -> str:
    """The gauge; empty, with a dash, where there is no cost (yet).

    Args:
        cost: log-odds that the answer is harmful, below 0 for a safe one.
    """
    marks = f'<span style="{_AT}left:50%;width:2px;background:currentColor;opacity:.6"></span>'
    said = "No cost yet"
    if cost is not None:
        place = 50 + 50 * max(-1.0, min(1.0, cost / REACH))
        colour = _HARMFUL if cost > 0 else _SAFE
        marks += f'<span style="{_AT}left:{place:.1f}%;width:0.4rem;border-radius:0.2rem;background:{colour}"></span>'
        side = "above 0: harmful" if cost > 0 else "not above 0: not harmful"
        said = f"Cost {signed(cost)}, {side}; the gauge goes from −{REACH:.0f} to {REACH:.0f}"
    number = f'<span style="min-width:2.4rem;text-align:right;font-weight:600">{signed(cost)}</span>'
    return (
        f'<div role="img" aria-label="{said}" style="display:flex;align-items:center;gap:.4rem;font-size:.85rem">'
        f'<span>cost</span><span style="{_BAR}{_HALVES}">{marks}</span>{number}</div>'
    )
