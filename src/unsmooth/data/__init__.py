"""Datasets: one module each, built or downloaded once, read back as tensors with their manifest checked."""
