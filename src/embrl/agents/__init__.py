"""Whole agents: populations of policy networks, and embeddings of them."""
