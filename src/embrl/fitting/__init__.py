"""Embeddings on their own: from any transitions, without a policy."""
