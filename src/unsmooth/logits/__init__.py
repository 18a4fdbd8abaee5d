"""Logits on disk: our format, foreign formats and probabilities in place of logits."""
