"""What runs have to show: statistics over seeds, curves, tables and pictures of embeddings.

It reads run folders and arrays; only `experiments` and the edges import it.
"""
