"""What runs have to show: statistics over seeds, curves, tables and pictures of embeddings.

Nothing else imports this room; it reads run folders and arrays.
"""
