"""A custom algorithm: REINFORCE with a moving-average baseline (Williams 1992).

    embrl --plugin examples/plugins/algorithm.py train ENV --algorithm reinforce

There is no critic: the return of a step is compared with the mean return of recent rollouts.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

import embrl
from embrl.algorithms.actors import Actor
from embrl.algorithms.base import Batch, Experience, InternalSpace, PolicyConfig
from embrl.algorithms.networks import Features
from embrl.algorithms.on_policy import new_actor
from embrl.core.errors import check_fraction, check_positive
from embrl.core.types import Key
from embrl.decoding import Decoder

ADAM = optax.scale_by_adam()


class Learner(NamedTuple):
    """What is learned, and what learning keeps from one update to the next."""

    actor: Actor
    f: Decoder
    optimiser: optax.OptState
    baseline: Float[Array, ""]
    updates: Float[Array, ""]

    def scorer(self, x: Array, observation: Any) -> None:
        """Return None, as there is no critic that could score actions for f."""


@embrl.register_algorithm("reinforce")
@dataclasses.dataclass(frozen=True)
class Reinforce:
    """Hyperparameters of REINFORCE; each is a flag, `--reinforce.*`."""

    off_policy: ClassVar[bool] = False
    untraced: ClassVar[frozenset[str]] = frozenset()

    learning_rate: float = 3e-3
    """Learning rate of Adam."""
    gamma: float = 0.95
    """Discount factor, 0 to 1."""
    baseline_decay: float = 0.9
    """Weight of earlier rollouts in the moving average of returns, at least 0 and below 1."""

    def validate(self, name: str) -> None:
        """Check all settings, which messages call `<name>.<field>`.

        Raises:
            SettingError: a value is out of range.
        """
        check_positive(f"{name}.learning_rate", self.learning_rate)
        check_fraction(f"{name}.gamma", self.gamma)
        check_fraction(f"{name}.baseline_decay", self.baseline_decay, one=False)

    def start(
        self,
        features: Features,
        internal: InternalSpace,
        f: Decoder,
        config: PolicyConfig,
        *,
        key: Key,
    ) -> Learner:
        """Return the learner before the first update."""
        actor = new_actor(features, internal, config, key=key)
        zero = jnp.float32(0.0)
        return Learner(actor, f, ADAM.init(actor), zero, zero)  # type: ignore[arg-type]

    def update(
        self, learner: Learner, experience: Experience, key: Key
    ) -> tuple[Learner, dict[str, Float[Array, ""]]]:
        """Take one gradient step on the latest rollout.

        Returns:
            The learner after it, and metrics, which become columns of metrics.csv.
        """
        del key  # the whole rollout is one batch
        steps = experience.fresh  # [T, B]: T steps of B parallel environments
        returns = returns_to_go(steps, self.gamma)
        weight = jnp.where(learner.updates == 0, 0.0, self.baseline_decay)
        baseline = weight * learner.baseline + (1 - weight) * returns.mean()

        def loss(actor: Actor) -> Float[Array, ""]:
            return -(actor.log_prob(steps.x, steps.u, steps.mask) * (returns - baseline)).mean()

        value, gradient = eqx.filter_value_and_grad(loss)(learner.actor)
        direction, optimiser = ADAM.update(gradient, learner.optimiser)
        change = jax.tree.map(lambda d: -self.learning_rate * d, direction)
        actor = eqx.apply_updates(learner.actor, change)
        metrics = {"actor_loss": value, "baseline": baseline, "entropy": actor.entropy(steps.x[-1])}
        return Learner(actor, learner.f, optimiser, baseline, learner.updates + 1), metrics


def returns_to_go(steps: Batch, gamma: float) -> Float[Array, "T B"]:
    """Return the discounted sum of rewards from each step to the end of its episode or rollout."""

    def back(after: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, ended = now
        total = reward + gamma * jnp.where(ended, 0.0, after)
        return total, total

    ended = steps.terminated | steps.truncated
    first = jnp.zeros_like(steps.reward[0])
    return jax.lax.scan(back, first, (steps.reward, ended), reverse=True)[1]
