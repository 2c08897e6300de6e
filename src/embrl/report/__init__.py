"""Figures and tables of runs: learning curves, comparisons, embeddings, episodes.

Modules here read run folders and arrays. Only the command line, the Python API, `embrl.sweep`,
`embrl.agents` and `embrl.papers` import them.
"""
