"""What flows through the pipeline, and the letters that stand for its shapes.

Shapes are written in the field's letters throughout:

| letter | what it counts |
|---|---|
| `T` | steps in time |
| `B` | environments that run side by side ("lanes") |
| `N` | transitions or queries, any order |
| `n` | actions of a discrete action space |
| `k` | factors of an observation (1 for `Discrete`) |
| `p` | numbers of an observation or action that is a vector (`Box`) |
| `m` | dimensions of the state embedding `x = phi(s)` |
| `d` | dimensions of the action embedding `e = g(a)` |

Seeds never appear: every function is written for one seed and vmapped over them.
"""

from typing import Any, NamedTuple, TypeAlias

from jaxtyping import Array, Bool, Float

Key: TypeAlias = Array
"""A typed key of `jax.random.key`, shape ()."""

Observation: TypeAlias = Array
"""int32 `[]` or `[k]` for discrete spaces, never a one-hot; float32 `[p]` for a `Box`."""

Action: TypeAlias = Array
"""int32 `[]` for `Discrete` action spaces; float32 `[p]` for a `Box`."""

EnvState: TypeAlias = Any
"""What an environment needs to go on: a pytree of its own."""


class TimeStep(NamedTuple):
    """What one environment step yields; `observation` is the true next one, never a reset's."""

    observation: Observation
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]


class Transition(NamedTuple):
    """A step seen from outside: (s, a, r, s') and how the episode stood after it."""

    observation: Array
    action: Array
    reward: Float[Array, " *batch"]
    next_observation: Array
    terminated: Bool[Array, " *batch"]
    truncated: Bool[Array, " *batch"]
