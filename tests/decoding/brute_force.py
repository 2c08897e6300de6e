"""Points, masks and the plain float64 answers that decoders are held against."""

import numpy as np


def embeddings(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Points as a tanh leaves them: float32 in (-1, 1)."""
    return np.tanh(rng.normal(size=shape)).astype(np.float32)


def on_a_lattice(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Points whose squared distances float32 holds exactly, with many ties among them."""
    return (rng.integers(-8, 9, size=shape) / 8).astype(np.float32)


def masks(rng: np.random.Generator, rows: int, n: int, allowed: float = 0.3) -> np.ndarray:
    """`[rows, n]`, at least one action allowed in each."""
    mask = rng.random((rows, n)) < allowed
    mask[np.arange(rows), rng.integers(n, size=rows)] = True
    return mask


def squared_distances(table: np.ndarray, e: np.ndarray) -> np.ndarray:
    """In float64, `[*batch, n]`."""
    total = np.zeros((*e.shape[:-1], len(table)))
    for axis in range(table.shape[1]):
        total += (e[..., axis, None].astype(np.float64) - table[:, axis].astype(np.float64)) ** 2
    return total


def in_order(squares: np.ndarray) -> np.ndarray:
    """Indices by distance, then by index."""
    return np.argsort(squares, axis=-1, kind="stable")


def tolerance(d: int) -> float:
    """What rounding of both compared distances (difference, square, sum) can amount to."""
    return 2 * (d + 3) * 2.0**-24
