"""Tables to figures: nothing else in the package draws, and nothing here knows Streamlit."""

import altair as alt

Layered = alt.LayerChart | alt.FacetChart
"""What Altair's typing says that layers make; never a facet here."""

# Altair checks every piece of a chart as it is put together, a third of the time to draw a page. The tests hold the
# finished charts against Vega-Lite's schema (`Chart.to_dict`).
alt.utils.schemapi.disable_debug_mode()


def either(test: str, yes: str, no: str) -> alt.ColorValue:
    """One colour where a Vega expression holds and another where not.

    `alt.condition` and `alt.value` say the same as dictionaries, which Altair takes milliseconds to type.
    """
    return alt.ColorValue(no, condition={"test": test, "value": yes})
