"""Tables to figures: nothing else in the package draws, and nothing here knows Streamlit."""

import altair as alt

Layered = alt.LayerChart | alt.FacetChart
"""What Altair's typing says that layers make; never a facet here."""
