"""Embeddings phi, g and T: encoders, objectives, the joint model, its training and quality."""
