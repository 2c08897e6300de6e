"""Embeddings and policies in other libraries."""
