"""What on-policy algorithms share: all but the loss of the policy."""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from embrl.algorithms.actors import Actor, CategoricalActor, GaussianActor
from embrl.algorithms.base import (
    ActionTable,
    Batch,
    Experience,
    IndexedActions,
    InternalSpace,
    PolicyConfig,
)
from embrl.algorithms.networks import Features, Network, network
from embrl.core.errors import EmbrlError
from embrl.core.types import Key, Observation
from embrl.decoding.decoder import Decoder, Judge

ADAM = optax.scale_by_adam(eps=1e-5)

SPREADS = ("log_std", "log_temperature")
"""Parameters that say how random a policy is; they have a learning rate of their own."""

Measures = dict[str, Float[Array, ""]]
State = TypeVar("State")
Data = TypeVar("Data")


class Policy(NamedTuple):
    """What is random between features and an original action, and is learned together."""

    actor: Actor
    f: Decoder

    def log_prob(
        self,
        table: ActionTable,
        x: Array,
        u: Array,
        action: Array,
        allowed: Bool[Array, " n"] | None = None,
    ) -> Float[Array, "*batch"]:
        """What both choices add up to: log pi_i(u | x) + log P(a | u), among allowed actions."""
        return self.actor.log_prob(x, u) + self.f.log_prob(table, u, action, allowed)


class Minibatch(NamedTuple):
    """Batch as the policy learns from them, with any leading axes."""

    x: Array
    u: Array
    action: Array
    advantage: Float[Array, "*batch"]
    before: Float[Array, "*batch"]
    """The log-probability under the policy that took them."""


class Learner(NamedTuple):
    """Policy, critic of states and their optimisers."""

    policy: Policy
    critic: Network
    policy_optimiser: optax.OptState
    critic_optimiser: optax.OptState

    @property
    def actor(self) -> Actor:
        """pi_i."""
        return self.policy.actor

    @property
    def f(self) -> Decoder:
        """From internal actions to original ones."""
        return self.policy.f

    def judge(self, x: Array, observation: Observation | None = None) -> Judge | None:
        """None: the critic knows states only."""
        del x, observation


@dataclasses.dataclass(frozen=True)
class ActorCritic(abc.ABC):
    """A few steps of policy and critic on each epoch, which is then forgotten."""

    off_policy: ClassVar[bool] = False
    untraced: ClassVar[frozenset[str]] = frozenset()

    actor_lr: float = 1.7e-3
    """Adam's learning rate of the actor."""
    std_lr: float = 2e-3
    """Adam's learning rate of the actor's log std, and of f's log temperature where it has one
    (embedding methods only)."""
    scale_by_std: bool = True
    """Whether actor_lr is a rate for a std of 1, and falls with the std (embedding methods only).
    Otherwise, as the std shrinks, steps of the mean grow large beside it and policies collapse."""
    ent_coef: float = 0.0
    """What a nat of entropy costs, in units of (normalised) advantage. A little narrows policies
    whose noise neither helps nor harms; negative, it is the usual entropy bonus."""
    least_std: float = 0.0
    """The std falls no further, on any axis of E (embedding methods only). A policy without noise
    can neither follow an embedding that still moves, nor leave a way that leads nowhere."""
    critic_lr: float = 1e-2
    """Adam's learning rate of the critic."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 0.97
    """GAE's trace decay."""
    actor_steps: int = 3
    """Passes of the actor over an epoch's samples."""
    critic_steps: int = 6
    """Passes of the critic over an epoch's samples."""
    minibatches: int = 1
    """Parts that each pass is split into, with a gradient step each; 1 is all samples at once."""

    @abc.abstractmethod
    def surrogate(
        self,
        log_prob: Float[Array, "*batch"],
        before: Float[Array, "*batch"],
        advantage: Float[Array, "*batch"],
    ) -> tuple[Float[Array, ""], Measures]:
        """What the policy's steps descend, and measures of it.

        Arguments:
            log_prob: of the steps, under the policy as it is.
            before: the same under the policy that took them.
        """

    def goes_on(self, measures: Measures) -> Bool[Array, ""]:
        """Whether the step with these measures may still be taken; after one that may not, the
        policy rests until the next epoch.
        """
        del measures
        return jnp.bool_(True)

    def start(
        self,
        features: Features,
        internal: InternalSpace,
        f: Decoder,
        config: PolicyConfig,
        *,
        key: Key,
    ) -> Learner:
        """Before the first update.

        Arguments:
            features: what the policy sees.
        """
        key_actor, key_critic = jax.random.split(key)
        if isinstance(internal, IndexedActions):
            actor: Actor = CategoricalActor(features, internal.n, config.hidden, key=key_actor)
        else:
            actor = GaussianActor(
                features,
                internal.d,
                config.hidden,
                std=config.std * internal.unit,
                bounded=config.bounded,
                key=key_actor,
            )
        return self.learner(Policy(actor, f), network(features, config.hidden, 1, key=key_critic))

    def learner(self, policy: Policy, critic: Network) -> Learner:
        """A given policy and critic before their first update."""
        return Learner(policy, critic, ADAM.init(policy), ADAM.init(critic))  # type: ignore[arg-type]

    def update(
        self, learner: Learner, experience: Experience, key: Key
    ) -> tuple[Learner, Measures]:
        """One epoch's learning, and measures of it.

        Advantages come from the critic as it was while the steps were taken. The targets of V are
        advantage + V.

        Raises:
            EmbrlError: the epoch cannot be split evenly into minibatches.
        """
        steps, table, allowed = experience.fresh, experience.table, experience.allowed
        policy, critic, policy_optimiser, critic_optimiser = learner
        advantage, target = self.advantages(critic, steps)
        minibatch = Minibatch(
            steps.x,
            steps.u,
            steps.action,
            (advantage - advantage.mean()) / (advantage.std() + 1e-8),
            policy.log_prob(table, steps.x, steps.u, steps.action, allowed),
        )
        # Once an epoch: all its steps are as long as the first.
        actor_lr = self.actor_lr * (policy.actor.width() if self.scale_by_std else 1.0)

        def improve_policy(
            state: tuple[Policy, optax.OptState, Array], part: Minibatch
        ) -> tuple[tuple[Policy, optax.OptState, Array], Measures]:
            policy, optimiser, going = state
            (loss, measures), gradient = eqx.filter_value_and_grad(self.policy_loss, has_aux=True)(
                policy, table, part, allowed
            )
            going = going & self.goes_on(measures)
            direction, after = ADAM.update(gradient, optimiser)
            change = jax.tree_util.tree_map_with_path(
                lambda path, d: -(self.std_lr if _is_spread(path) else actor_lr) * d, direction
            )
            policy, optimiser = jax.tree.map(
                lambda new, old: jnp.where(going, new, old),
                (eqx.apply_updates(policy, change), after),
                (policy, optimiser),
            )
            return (policy, optimiser, going), {"actor_loss": loss, **measures}

        def improve_critic(
            state: tuple[Network, optax.OptState], part: tuple[Array, Array]
        ) -> tuple[tuple[Network, optax.OptState], Measures]:
            critic, optimiser = state
            loss, gradient = eqx.filter_value_and_grad(critic_loss)(critic, *part)
            direction, optimiser = ADAM.update(gradient, optimiser)
            change = jax.tree.map(lambda d: -self.critic_lr * d, direction)
            return (eqx.apply_updates(critic, change), optimiser), {"critic_loss": loss}

        key_policy, key_critic = jax.random.split(key)
        (policy, policy_optimiser, _), measures = self._passes(
            improve_policy,
            (policy, policy_optimiser, jnp.bool_(True)),
            minibatch,
            self.actor_steps,
            key_policy,
        )
        if isinstance(policy.actor, GaussianActor):
            policy = eqx.tree_at(
                lambda policy: policy.actor.log_std,
                policy,
                jnp.maximum(policy.actor.log_std, jnp.log(self.least_std)),
            )
        (critic, critic_optimiser), critic_measures = self._passes(
            improve_critic,
            (critic, critic_optimiser),
            (steps.x, target),
            self.critic_steps,
            key_critic,
        )
        return Learner(policy, critic, policy_optimiser, critic_optimiser), {
            **{name: values[-1] for name, values in measures.items()},
            "actor_loss": measures["actor_loss"][0],
            "critic_loss": critic_measures["critic_loss"][0],
            "entropy": policy.actor.entropy(steps.x[-1]),
        }

    def advantages(
        self, critic: Network, steps: Batch
    ) -> tuple[Float[Array, "T *B"], Float[Array, "T *B"]]:
        """Advantages of the steps, and targets of V."""
        value = critic(steps.x)[..., 0]
        advantage = generalised_advantages(
            steps.reward,
            value,
            critic(steps.next_x)[..., 0],
            steps.terminated,
            steps.truncated,
            self.gamma,
            self.gae_lambda,
        )
        return advantage, advantage + value

    def policy_loss(
        self,
        policy: Policy,
        table: ActionTable,
        minibatch: Minibatch,
        allowed: Bool[Array, " n"] | None = None,
    ) -> tuple[Float[Array, ""], Measures]:
        """The surrogate, plus the cost of entropy."""
        log_prob = policy.log_prob(table, minibatch.x, minibatch.u, minibatch.action, allowed)
        loss, measures = self.surrogate(log_prob, minibatch.before, minibatch.advantage)
        if isinstance(self.ent_coef, float) and self.ent_coef == 0.0:
            return loss, measures  # XLA keeps 0 * entropy, a quarter of the time of many actions
        return loss + self.ent_coef * policy.actor.entropy(minibatch.x), measures

    def _passes(
        self,
        step: Callable[[State, Data], tuple[State, Measures]],
        state: State,
        data: Data,
        passes: int,
        key: Key,
    ) -> tuple[State, Measures]:
        """Takes `step` on every part of the data `[T, B, ...]`, `passes` times over."""
        if self.minibatches == 1:
            return jax.lax.scan(lambda state, _: step(state, data), state, length=passes)
        lengths = jax.tree.leaves(data)[0].shape[:2]
        count = lengths[0] * lengths[1]
        if count % self.minibatches:
            raise EmbrlError(
                f"minibatches is {self.minibatches}: an epoch of {count} samples does not split "
                f"evenly into so many"
            )
        rows = jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[2:]), data)
        order = jax.vmap(lambda key: jax.random.permutation(key, count))(
            jax.random.split(key, passes)
        )
        return jax.lax.scan(
            lambda state, chosen: step(state, jax.tree.map(lambda leaf: leaf[chosen], rows)),
            state,
            order.reshape(passes * self.minibatches, -1),
        )


def critic_loss(critic: Network, x: Array, target: Float[Array, "*batch"]) -> Float[Array, ""]:
    """Mean squared error of V(x)."""
    return ((critic(x)[..., 0] - target) ** 2).mean()


def _is_spread(path: tuple) -> bool:
    return any(getattr(entry, "name", None) in SPREADS for entry in path)


# DOC What a step was worth.


def generalised_advantages(
    reward: Float[Array, "T *B"],
    value: Float[Array, "T *B"],
    next_value: Float[Array, "T *B"],
    terminated: Bool[Array, "T *B"],
    truncated: Bool[Array, "T *B"],
    gamma: Float[Array, ""] | float,
    lambda_: Float[Array, ""] | float,
) -> Float[Array, "T *B"]:
    """Generalised advantage estimates (Schulman et al. 2016, eq. 16).

        delta_t = r_t + gamma (1 - terminated_t) V(s_{t+1}) - V(s_t)
        A_t = delta_t + gamma lambda (1 - terminated_t) (1 - truncated_t) A_{t+1}

    Arguments:
        next_value: V of the true next observation, also where the episode was truncated and the
            lane goes on with another: a step limit is no end of the world.
        terminated, truncated: kept apart. After a terminated step nothing follows; after a
            truncated one value follows, but not in this row. The last row counts as truncated.
    """
    delta = reward + gamma * jnp.where(terminated, 0.0, next_value) - value
    carry_on = jnp.where(terminated | truncated, 0.0, gamma * lambda_)

    def back(after: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta_t, carry_on_t = now
        advantage = delta_t + carry_on_t * after
        return advantage, advantage

    _, advantages = jax.lax.scan(back, jnp.zeros_like(delta[0]), (delta, carry_on), reverse=True)
    return advantages
