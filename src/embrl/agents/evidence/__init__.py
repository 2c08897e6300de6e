"""Evidence of agent embeddings: measurements, claims, walks, figures, and their folder."""
