"""Evidence of agent embeddings: walks, what the paper found, and a folder with all of it."""
