"""What agents decide, in a form that does not know how sharply they say it.

Two agents whose logits differ by a factor act alike. So logits are centred (their mean over the
actions is taken off) and divided by the agent's own root mean square of them:

    v(s, a) = (l(s, a) - mean_b l(s, b)) / rms,    rms^2 = mean over states and actions of the above
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SHARPNESS = 3.0
"""Of the policies that are compared, softmax(SHARPNESS v): decisions are nearly made where an
agent's logits differ as they usually do, and open near the boundary."""

LEAST = 1e-30
"""A probability below this counts as this."""


def centred(logits: Float[Array, "*batch A"]) -> Float[Array, "*batch A"]:
    """Logits whose mean over the actions is 0."""
    return logits - logits.mean(-1, keepdims=True)


def size(logits: Float[Array, "*batch S A"]) -> Float[Array, "*batch"]:
    """The root mean square of an agent's centred logits; 1e-6 at least."""
    return jnp.sqrt(jnp.maximum((centred(logits) ** 2).mean((-2, -1)), 1e-12))


def votes(logits: Float[Array, "*batch S A"]) -> Float[Array, "*batch S A"]:
    """v, of an agent's logits in S states."""
    return centred(logits) / size(logits)[..., None, None]


def votes_of(probabilities: Float[Array, "*batch S A"]) -> Float[Array, "*batch S A"]:
    """v, of an agent's action probabilities in S states."""
    return votes(jnp.log(jnp.maximum(probabilities, LEAST)))


def divergence(
    votes: Float[Array, "*batch A"], logits: Float[Array, "*batch A"]
) -> Float[Array, "*batch"]:
    """KL(softmax(SHARPNESS v) || softmax(logits)), in nats.

    To second order, with two actions, it is p (1 - p) / 2 times the squared error of the difference
    of logits: an error counts where the decision is open, and little where it is clear.
    """
    target = jax.nn.log_softmax(SHARPNESS * votes)
    return (jnp.exp(target) * (target - jax.nn.log_softmax(logits))).sum(-1)


def agreement(
    logits: Float[Array, "*batch S A"], others: Float[Array, "*batch S A"]
) -> Float[Array, "*batch"]:
    """The share of states in which both choose the same action."""
    return (logits.argmax(-1) == others.argmax(-1)).mean(-1)
