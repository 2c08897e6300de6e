"""Store of embeddings: vectors with metadata, versions, filters and searches, over pymilvus."""
