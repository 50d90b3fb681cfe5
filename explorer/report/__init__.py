"""Words, frames and charts of a run, for pages and for Python users. Knows no Streamlit and no torch."""
