"""Rankings of neurons, sets of them, patches as values, overlap; numpy only."""
