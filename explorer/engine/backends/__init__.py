"""How a model decodes and reads: one interface, three back ends, and the choice of one for a model."""
