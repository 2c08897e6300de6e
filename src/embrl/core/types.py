"""Types that flow through the pipeline, and a glossary of letters and words.

Shapes are written with these letters throughout:

| letter | counts |
|---|---|
| `T` | consecutive timesteps |
| `B` | parallel environments (`rollout.num_envs`) |
| `N` | transitions or queries, in any order |
| `H` | consecutive steps of a segment |
| `n` | actions of a discrete action space |
| `k` | factors of a discrete observation (1 for `Discrete`) |
| `p` | coordinates of a continuous observation or action (`Box`) |
| `m` | dimensions of the state embedding X, `embedding.state_dim` |
| `d` | dimensions of the action embedding E, `embedding.action_dim` |

(`T` in a shape counts timesteps; in formulas T is the transition model.)

Symbols are those of Pritz et al. (2021): s, a, r, s' for a step; `x = phi(s)` for the embedding of
a state, in X; `e = g(a)` for that of an action, in E; `T(x, e)` for the transition model, which
predicts s'; `f(e)` for the decoder, which returns an action; `pi_i(e | x)` for the internal policy.
The overall policy is `f . pi_i . phi`.

| word | meaning |
|---|---|
| timestep | one step of one environment; parallel environments count each |
| rollout | the timesteps between two updates of the policy, `[T, B, ...]` |
| update | one change of the policy, from a rollout or from replayed transitions |
| gradient step | one step of an optimiser, on one minibatch; an update has several |
| replica | one training among others that run side by side: a seed at a point of a sweep |
| internal action | the point u in E that the internal policy samples, before the decoder |
| decoder | f: from a point in E to an action of the environment |
| scorer | a network that chooses among the k nearest actions, as the critic of SAC |
| excluded actions | actions that are never chosen (`rollout.excluded_actions`) |
| mask | the actions that are allowed in one step, bool `[..., n]` |
| frozen | no longer trained; the opposite is updated online |
| online updates | training of the embedding while the policy is trained |
| probing | prediction of features of a state from its embedding, to find what phi lost |
| reference | the embedding as it was after pre-training, which monitoring compares with |
| backend | where environments are stepped: compiled with the training, or on the host |

Seeds are not an axis of any shape: every function is written for one seed and vmapped by its
caller.
"""

from typing import Any, NamedTuple, TypeAlias

from jaxtyping import Array, Bool, Float

Key: TypeAlias = Array
"""Random key of `jax.random.key`, shape ()."""

Observation: TypeAlias = Array
"""int32 `[]` or `[k]` for discrete spaces, never a one-hot vector; float32 `[p]` for a `Box`."""

Action: TypeAlias = Array
"""int32 `[]` for `Discrete` action spaces; float32 `[p]` for a `Box`."""

EnvState: TypeAlias = Any
"""State of an environment: a pytree of its own."""

OptState: TypeAlias = Any
"""State of an optimiser, as optax's of the same name: a pytree of its own."""


class TimeStep(NamedTuple):
    """Result of one environment step."""

    observation: Observation
    """The true next observation, never that of a reset."""
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    """True if the episode terminated: its end belongs to the task."""
    truncated: Bool[Array, ""]
    """True if the episode was cut off from outside, as by a step limit."""


class Transition(NamedTuple):
    """A transition (s, a, r, s'), and whether the episode ended with it."""

    observation: Array
    action: Array
    reward: Float[Array, " *batch"]
    next_observation: Array
    terminated: Bool[Array, " *batch"]
    truncated: Bool[Array, " *batch"]
