"""Agents for tests."""

import numpy as np
from hypothesis import strategies as st

from embrl.agents.architecture import Architecture


@st.composite
def architectures(draw, activations=("tanh", "relu")):
    hidden = draw(st.lists(st.integers(1, 4), max_size=3))
    return Architecture(
        draw(st.integers(1, 3)),
        tuple(hidden),
        draw(st.integers(1, 3)),
        draw(st.sampled_from(activations)),
    )


@st.composite
def agents(draw, tied=False):
    """An architecture and a few agents of it; tied ones of hardly any different weights."""
    architecture = draw(architectures())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(0, 4)), architecture.size)
    if tied:
        values = draw(st.sampled_from([(0, 1), (-1, 0, 1), (0, 0, 0, 1, -1), (-1, 1), (0,), (1,)]))
        w = rng.choice(values, shape)
        if draw(st.booleans()):  # tied in the first layer, which decides most of it
            head = (architecture.inputs + 1) * architecture.widths[1]
            w[:, :head] = rng.choice(values)
    else:
        w = rng.normal(size=shape)
    return architecture, w.astype(np.float32)
