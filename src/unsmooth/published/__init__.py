"""Runs of the published experiments on their own data, and the page of their results."""
