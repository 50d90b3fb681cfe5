"""Models: families, pairs, (IA)³ adapters, prompts and the embedded model."""
