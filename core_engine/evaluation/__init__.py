"""Scores of a map from embedding to embedding, and the baselines it has to beat."""
