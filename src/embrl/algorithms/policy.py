"""The overall policy pi_o = f . pi_i . phi, from raw observations to original actions."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol, Self

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from embrl.algorithms.actors import Actor
from embrl.algorithms.base import (
    ActionTable,
    EmbeddedActions,
    IndexedActions,
    InternalSpace,
    PartedActions,
    PolicyConfig,
)
from embrl.algorithms.networks import Features, JointFeatures
from embrl.core.errors import EmbrlError
from embrl.core.products import product_of
from embrl.core.scaling import RawBox, RunningStats
from embrl.core.spaces import action_count, is_continuous
from embrl.core.types import Key, Observation
from embrl.data.rollout import random_actions
from embrl.decoding.base import Decoder, Scorer
from embrl.decoding.constraint import Constraint
from embrl.decoding.continuous import Identity, OriginalParts, Rescaled
from embrl.decoding.indexed import IndexedTable
from embrl.decoding.products import ProductTable
from embrl.embedding.encoders import (
    ContinuousActions,
    Norm,
    RawStates,
    StandardisedEncoder,
    StateEncoder,
    WithState,
    as_vector,
    vector_size,
)
from embrl.embedding.model import JointEmbedding
from embrl.envs.environment import Environment, has_constraint

UNIT_SAMPLE = 2**12
"""Random actions that show how wide actions lie in E."""


class Scoring(Protocol):
    """A source of scores for actions: a learner with a critic, or a learned model."""

    def scorer(self, x: Array, observation: Observation) -> Scorer | None:
        """Return a function that scores points of E in states with features x."""
        ...


class OverallPolicy(eqx.Module):
    """Overall policy (Pritz et al. 2021, fig. 1a): x = phi(s), u ~ pi_i(. | x), a = f(u).

    Without embeddings, phi and f are the identity, and the rest is the same.
    """

    phi: Callable[[Observation], Array]
    actor: Actor
    f: Decoder
    table: ActionTable
    """What f decodes with."""
    critic: Scoring | None = None
    """Scores of actions, for an f that needs them."""
    allowed: Bool[Array, " n"] | None = None
    """Discrete actions that f may ever return; None: all."""
    tried: Bool[Array, " n"] | None = None
    """Discrete actions that pre-training tried, if f keeps to them wherever a mask leaves any."""
    coupled_by: Environment | None = None
    """Environment whose `is_feasible` couples the parts of an action; None: all are feasible."""

    def in_environment(self, env: Any) -> Self:
        """Return the policy as it acts in an environment: f takes feasible actions alone.

        Where the environment couples no parts, or the policy does not act in an embedding, it is
        the same policy.
        """
        coupled = isinstance(env, Environment) and has_constraint(env)
        if not coupled or not isinstance(self.table, ProductTable):
            return self
        return dataclasses.replace(self, coupled_by=env)

    def noise(self, key: Key, batch: tuple[int, ...]) -> tuple[Array, Array | None]:
        """Return the random numbers of `batch` actions, for `act`: those of pi_i and of f."""
        # The actor's are the same whether f is random or not.
        return self.actor.noise(key, batch), self.f.noise(jax.random.fold_in(key, 1), batch)

    def act(
        self,
        observation: Observation,
        noise: tuple[Array, Array | None],
        mask: Bool[Array, "*#batch n"] | None = None,
    ) -> tuple[Array, Array]:
        """Draw an action.

        Args:
            observation: `[*batch, ...]`.
            noise: as `noise` returned it.
            mask: True where an action may be chosen.

        Returns:
            The action, int32 `[*batch]` or float32 `[*batch, p]`, and the internal one behind it.
        """
        x = self.phi(observation)
        u = self.actor.act(x, noise[0], self.allowed_by(mask))
        return self._decoded(u, noise[1], mask, x, observation), u

    def mode(self, observation: Observation, mask: Bool[Array, "*#batch n"] | None = None) -> Array:
        """Return the action of the most likely internal action."""
        x = self.phi(observation)
        u = self.actor.mode(x, self.allowed_by(mask))
        return self._decoded(u, None, mask, x, observation)

    def _decoded(
        self, u: Array, noise: Array | None, mask: Array | None, x: Array, observation: Observation
    ) -> Array:
        """Return f of internal actions."""
        f: Any = self.f
        if self.coupled_by is not None:
            f = functools.partial(f, constraint=Constraint(self.coupled_by, observation))
        scores = self._scores(x, observation)
        return f(self.table, u, noise, self._allowed_in_table(mask), scores)

    def allowed_by(self, mask: Array | None) -> Array | None:
        """Return the actions that are allowed both at all and by a mask (`choices`)."""
        return choices(self.allowed, self.tried, mask)

    def _allowed_in_table(self, mask: Array | None) -> Array | None:
        """Return the actions that are allowed of those in the table: an index has no others."""
        indexed = mask is None and isinstance(self.table, IndexedTable)
        return None if indexed else self.allowed_by(mask)

    def _scores(self, x: Array, observation: Observation) -> Scorer | None:
        return None if self.critic is None else self.critic.scorer(x, observation)


def choices(
    allowed: Bool[Array, " n"] | None,
    tried: Bool[Array, " n"] | None,
    mask: Bool[Array, "*batch n"] | None = None,
) -> Bool[Array, "*batch n"] | None:
    """Return the actions that a policy chooses from; None: all.

    Where a mask leaves none but excluded actions, all others count as allowed. Actions that were
    not tried are left out wherever any others are left.

    Args:
        allowed: actions that are not excluded; None: all.
        tried: actions that pre-training tried; None: it makes no difference.
        mask: actions that the environment allows; None: all.
    """
    left = allowed if mask is None else mask
    if mask is not None and allowed is not None:
        left = _unless_empty(mask & allowed, allowed)
    if tried is None:
        return left
    return tried if left is None else _unless_empty(left & tried, left)


def _unless_empty(mask: Array, other: Array) -> Array:
    """Return masks, or the other ones in place of those that allow nothing."""
    return jnp.where(mask.any(-1, keepdims=True), mask, other)


@dataclasses.dataclass(frozen=True)
class PolicyInput:
    """Input of actor and critic: the state's embedding, the observation itself, or both."""

    policy: PolicyConfig
    space: gymnasium.Space
    """The observations."""
    layers: str = "auto"
    """Layers that read images (`embrl.core.images.ImageLayers`)."""

    def features(self, embedding: JointEmbedding | None) -> Features:
        """Return the size of the input, as networks are built for it."""
        if embedding is None:
            return self._raw.features
        phi = embedding.phi
        if isinstance(phi, StateEncoder) and self._sees_both(embedding):
            return JointFeatures(phi.features, vector_size(self._raw))
        return phi.features

    def empty_stats(self, embedding: JointEmbedding | None) -> RunningStats | None:
        """Return statistics of no observations.

        Returns:
            None where the policy sees no unbounded observations, or they are not scaled.
        """
        box = self._raw.box
        sees_raw = embedding is None or self._sees_both(embedding)
        if not sees_raw or box is None or box.scale is None:
            return None
        return RunningStats.empty(box.features)

    def phi(
        self, embedding: JointEmbedding | None, norm: Norm | None, stats: RunningStats | None
    ) -> Any:
        """Return the function from observations to the policy's input."""
        raw = self._raw
        if stats is not None:
            down = self.policy.normalise == "scale_down_only"
            scale = stats.scale.down() if down else stats.scale
            raw = raw.scaled_by(scale, known=stats.steps > 0)
        if embedding is None:
            return raw
        if norm is None or not isinstance(embedding.phi, StateEncoder):
            return embedding.phi
        phi = StandardisedEncoder(embedding.phi, norm)
        if not self._sees_both(embedding):
            return phi
        return WithState(phi, as_vector(raw, self.space))

    @property
    def _raw(self) -> RawStates:
        how = self.policy.normalise
        scaled = how in ("running", "scale_down_only")
        return RawStates(self.space, self.layers, scaled=scaled, unchanged=how == "off")

    def _sees_both(self, embedding: JointEmbedding) -> bool:
        return self.policy.inputs == "both" and isinstance(embedding.phi, StateEncoder)


def original_actions(action_space: gymnasium.Space) -> tuple[InternalSpace, Decoder]:
    """Return the internal space and the decoder of a policy without an action embedding."""
    product = product_of(action_space)
    if product is not None:
        box = product.box
        raw = None if box is None else RawBox(box, scaled=True)
        return PartedActions(product), OriginalParts(raw, len(product.sizes))
    if not is_continuous(action_space):
        return IndexedActions(action_count(action_space)), Identity()
    raw = RawBox(action_space, scaled=True)
    return EmbeddedActions(raw.features), Rescaled(raw)


def embedded_actions(
    policy: PolicyConfig,
    d: int,
    action_space: gymnasium.Space,
    embedding: JointEmbedding,
    key: Key,
) -> EmbeddedActions:
    """Return the internal space of a policy in an action embedding.

    Args:
        policy: settings of the policy.
        d: dimensions of E.
        action_space: the original actions.
        embedding: the embedding.
        key: random key of a sample of actions, which shows how wide they lie in E.

    Raises:
        EmbrlError: `policy.std_unit` is action, and actions are discrete.
    """
    if policy.std_unit == "embedding":
        return EmbeddedActions(d)
    if not isinstance(embedding.g, ContinuousActions):
        raise EmbrlError("policy.std_unit action needs continuous actions; choose embedding")
    sample = random_actions(action_space, key, (UNIT_SAMPLE,))
    return EmbeddedActions(d, embedding.g.shrinkage(sample))
