"""Predict the embeddings of the next states, several steps ahead."""

from typing import TYPE_CHECKING, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from embrl.embedding.objectives.objective import Objective
from embrl.embedding.shape import ModelConfig, Shape
from embrl.embedding.transition import Move
from embrl.types import Key, Transition

if TYPE_CHECKING:
    from embrl.embedding.model import JointEmbedding


class Latent(Objective):
    """Squared error of embeddings predicted step after step from the first state of a segment:

        z_0 = phi(s_0),    z_{t+1} = z_t + D(z_t, g(a_t)),    target: stop-gradient(phi(s_{t+1}))

    as in MR.Q (Fujimoto et al. 2025, sec. 4.2) and, with a single step, SALE (Fujimoto et al.
    2023, eq. 2). It is divided by the targets' variance: shrinking the embedding is no way to win.
    It takes other objectives beside it all the same, as a state's embedding need tell nothing. D
    is JSAE's: a plain network beside z overlooks actions whose effects depend on the state.
    """

    segments: ClassVar[bool] = True

    D: Move

    def __init__(self, shape: Shape, config: ModelConfig, *, key: Key) -> None:
        """
        Raises:
            EmbrlError: states are not embedded.
        """
        m = shape.m("latent")
        self.D = Move(m, shape.d, config.head_hidden, m, key=key)

    def __call__(
        self, model: "JointEmbedding", batch: Transition, mask: Bool[Array, "H N"] | None = None
    ) -> Float[Array, ""]:
        e = model.g(batch.action)
        target = jax.lax.stop_gradient(model.phi(batch.next_observation))
        z = model.phi(batch.observation[0])
        errors = []
        for t in range(e.shape[0]):
            z = z + self.D(z, e[t])
            errors.append(((z - target[t]) ** 2).mean(-1))
        centre = target.mean((0, 1))
        variance = ((target - centre) ** 2).mean() + 1e-6
        weight = jnp.ones(batch.reward.shape) if mask is None else mask.astype(jnp.float32)
        return (jnp.stack(errors) * weight).sum() / weight.sum() / variance
