"""Predictions of observations, of either kind, and what they cost."""

from typing import TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.distributions import categorical_log_prob

Logits: TypeAlias = tuple[Float[Array, "*batch values"], ...]
"""One array for each factor."""

Prediction: TypeAlias = Logits | Float[Array, "*batch p"]
"""Logits of discrete observations; of a box, the (scaled) observation itself."""


def output_size(features: int | tuple[int, ...]) -> int:
    """How many numbers predict an observation with these raw features."""
    return features if isinstance(features, int) else sum(features)


def as_prediction(outputs: Float[Array, "*batch outputs"], features: int | tuple) -> Prediction:
    """A network's outputs, taken apart factor by factor."""
    if isinstance(features, int):
        return outputs
    return tuple(jnp.split(outputs, np.cumsum(features)[:-1], axis=-1))


def observation_loss(predicted: Prediction, target: Array) -> Float[Array, "*batch"]:
    """Negative log likelihood in nats, or the mean squared error of a box in scaled units.

    Factors are predicted independently of each other: their losses add up. A single softmax over
    all combinations of factors would be far larger, and in a recommender it would mostly learn to
    copy the older item, which is already known.

    Arguments:
        target: raw features of the true observation (`RawStates`), `[..., k]`.
    """
    return _total(_losses(predicted, target))


def mean_observation_loss(predicted: Prediction, target: Array) -> Float[Array, ""]:
    """The mean of `observation_loss` over the batch, taken factor by factor."""
    return _total([losses.mean() for losses in _losses(predicted, target)])


def _losses(predicted: Prediction, target: Array) -> list[Array]:
    """Of each factor; a box counts as one."""
    if not isinstance(predicted, tuple):
        return [((predicted - target) ** 2).mean(-1)]
    return [
        -categorical_log_prob(logits, target[..., index]) for index, logits in enumerate(predicted)
    ]


def _total(parts: list[Array]) -> Array:
    return sum(parts[1:], parts[0])
