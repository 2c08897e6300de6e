"""Reproduction of the figures of Pritz, Ma and Leung (2021): `embrl reproduce`.

Nothing outside this package imports it, but for the command line's registry of commands.
"""
