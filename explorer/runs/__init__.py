"""A run on disk: manifest, tensors, tables."""
