"""Fitting of embeddings without a policy, from any source of transitions."""
