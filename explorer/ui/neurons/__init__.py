"""The Neurons page."""
