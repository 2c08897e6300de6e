"""Embeddings in other libraries: wrappers of Gymnasium's environments, PyTorch, gymnax.

Each module imports only what it is about: `wrappers` needs no JAX, `torch` and `gymnax` are extras.
"""
