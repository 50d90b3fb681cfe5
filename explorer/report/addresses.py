"""Addresses of pages that show one thing, for links from tables."""

from urllib.parse import urlencode


def lab_address(**controls: object) -> str:
    """The Patch lab with these of its controls: prompt, ranking, set, fraction, seed, direction."""
    return "patch_lab?" + urlencode(controls)


def neuron_address(layer: int, neuron: int) -> str:
    """The Neurons page with this neuron."""
    return "neurons?" + urlencode({"neuron": f"{layer}.{neuron}"})
