"""Datasets: one module each, built once into a folder, read back with their manifest checked.

A builder takes the folder for the data and the manifest, the identifier `dataset` kept in the manifest, the folder of
each download in `sources`, and the options of its class in `unsmooth.config.specs.datasets`. It returns the manifest,
and raises `DatasetError` for a file that is missing, damaged or malformed, and for a split that would be empty.
"""
