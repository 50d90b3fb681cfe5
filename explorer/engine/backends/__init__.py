"""How a model decodes and reads: one interface, three back ends, and a registry of which models each takes."""
