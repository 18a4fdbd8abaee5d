"""Diagnosis of confidence: measurements, signature of smoothing and their wording."""
