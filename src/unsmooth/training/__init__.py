"""Training: loop, optimisation, checkpoints, and the cell that ties them together."""
