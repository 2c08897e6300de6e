"""The explorer: a page in which embeddings can be seen and touched, without a network."""
