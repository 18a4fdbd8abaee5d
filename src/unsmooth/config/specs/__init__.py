"""Validated parts of an experiment: datasets, architectures, losses and recipes, with types and ranges.

The class of a dataset or an architecture holds its `kind`, its options in YAML, and its function as "module:name",
imported on use, so that reading a configuration never imports torch. The classes of losses follow from
`unsmooth.registry.losses`.
"""
