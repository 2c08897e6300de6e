"""Sweeps of a configuration over a grid of settings, with tables and figures of the results."""
