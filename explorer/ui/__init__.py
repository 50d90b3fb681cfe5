"""The only code of the package that knows Streamlit."""
