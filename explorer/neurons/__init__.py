"""Contrast, ranking, neuron sets, dynamic patching, overlap."""
