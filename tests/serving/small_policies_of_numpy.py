"""Policies of 40 actions with random weights, in plain NumPy, one for each way to choose."""

from typing import Any

import numpy as np
from gymnasium import spaces

from embrl.deploy.array_forms import Forms
from embrl.deploy.exported import ExportedPolicy
from embrl.portable import Chain
from embrl.portable.steps import Affine, Echoed, Gaussian, Nearest, PortablePolicy, Scored, Tanh

N, M, D, H = 40, 3, 2, 8
RNG = np.random.default_rng(0)
TABLE = RNG.uniform(-1, 1, (N, D)).astype(np.float32)
KINDS = ("nearest", "scored", "best", "echoed", "best echoed")


def f32(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def policy(kind: str = "nearest", start: int = 0) -> ExportedPolicy:
    """A policy of observations `[3]`; actions are numbered from `start`."""
    forms = Forms.of(spaces.Box(-9, 9, (M,), np.float32), spaces.Discrete(N, start=start))
    k = None if "best" in kind else 5
    scored: Any = None
    if kind in ("scored", "best"):
        critics = [Chain((Affine(f32(M, H), f32(H)),)) for _ in range(2)]
        above = [Chain((Tanh(), Affine(f32(H, 1), f32(1)))) for _ in range(2)]
        scored = Scored(TABLE, k, tuple(critics), f32(2, D, H), tuple(above))  # type: ignore[arg-type]
    elif "echoed" in kind:
        logits = Chain((Affine(f32(M, N), f32(N)),))
        scored = Echoed(TABLE, k, logits, f32(N), 2.0, 0.01, None)
    actor = Chain((Affine(f32(M, D), f32(D)),))
    draw, f = Gaussian(np.full(D, 0.5, np.float32), bounded=True), Chain((Nearest.of(TABLE),))
    steps = PortablePolicy(
        Chain(()), actor, Chain((Tanh(),)), draw, f if scored is None else Chain(()), None, scored,
        forms.leave,
    )  # fmt: skip
    about = {"run": "run", "seed": 0, "environment": "shop", "versions": {}}
    return ExportedPolicy(steps, forms.observation, forms.action, about)


def seen(count: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-3, 3, (count, M)).astype(np.float32)
