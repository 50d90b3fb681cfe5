"""What runs the models: contrasting, attribution, decoding with patches, and the naive reference of it all."""
