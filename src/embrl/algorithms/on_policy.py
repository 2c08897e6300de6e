"""On-policy actor-critic: everything that VPG and PPO share but the loss of the policy."""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl.algorithms.actors import Actor, CategoricalActor, GaussianActor
from embrl.algorithms.base import (
    ActionTable,
    Batch,
    Experience,
    IndexedActions,
    InternalSpace,
    PartedActions,
    PolicyConfig,
)
from embrl.algorithms.networks import Features, Network, network
from embrl.algorithms.product_actor import ProductActor
from embrl.core.errors import EmbrlError, check_at_least
from embrl.core.nn import adam
from embrl.core.section import Section
from embrl.core.types import Key, Observation, OptState
from embrl.decoding.base import Decoder, Scorer

ADAM_EPS = 1e-5
"""Number that Adam adds to the root of a squared gradient."""

SHUFFLE_BITS = 14
"""Bits of the largest numbers that are shuffled as parts of random numbers of 32 bits."""

SPREADS = ("log_std", "log_temperature")
"""Parameters of a policy's randomness; they have a learning rate of their own."""

Metrics = dict[str, Float[Array, ""]]
State = TypeVar("State")
Data = TypeVar("Data")


class StochasticPolicy(NamedTuple):
    """Actor and decoder: the random choices between features and an original action."""

    actor: Actor
    f: Decoder

    def log_prob(
        self,
        table: ActionTable,
        x: Array,
        u: Array,
        action: Array,
        allowed: Bool[Array, "*#batch n"] | None = None,
    ) -> Float[Array, "*batch"]:
        """Return log pi_i(u | x) + log P(a | u), among allowed actions."""
        return self.actor.log_prob(x, u, allowed) + self.f.log_prob(table, u, action, allowed)

    def log_prob_and_entropy(
        self,
        table: ActionTable,
        x: Array,
        u: Array,
        action: Array,
        allowed: Bool[Array, "*#batch n"] | None = None,
    ) -> tuple[Float[Array, "*batch"], Float[Array, ""]]:
        """Return `log_prob`, and the mean entropy of pi_i."""
        log_prob, entropy = self.actor.log_prob_and_entropy(x, u, allowed)
        return log_prob + self.f.log_prob(table, u, action, allowed), entropy

    def log_prob_by_part(
        self,
        table: ActionTable,
        x: Array,
        u: Array,
        action: Array,
        allowed: Bool[Array, "*#batch n"] | None = None,
    ) -> Float[Array, "*batch k+1"]:
        """Return log pi_i(u_k | x) of each part of u, and log P(a | u) as another part."""
        parts = self.actor.log_prob_by_part(x, u, allowed)
        of_f = self.f.log_prob(table, u, action, allowed)
        return jnp.concatenate([parts, of_f[..., None]], -1)


class Minibatch(NamedTuple):
    """Steps as the policy learns from them, with any leading axes."""

    x: Array
    u: Array
    action: Array
    advantage: Float[Array, "*batch"]
    before: Float[Array, "*batch"] | Float[Array, "*batch k"]
    """Log probability under the policy that took them; of each part with `by_part`."""
    mask: Bool[Array, "*batch n"] | None = None
    """Actions that could be chosen; None: the same in all steps."""

    def allowed(self, always: Bool[Array, " n"] | None) -> Array | None:
        """Return the actions that could be chosen, where `always` holds of steps without masks."""
        return always if self.mask is None else self.mask


class OnPolicyLearner(NamedTuple):
    """Policy, critic of states and their optimisers."""

    policy: StochasticPolicy
    critic: Network
    policy_optimiser: OptState
    critic_optimiser: OptState

    @property
    def actor(self) -> Actor:
        """The internal policy pi_i."""
        return self.policy.actor

    @property
    def f(self) -> Decoder:
        """The decoder from internal actions to original ones."""
        return self.policy.f

    def scorer(self, x: Array, observation: Observation | None = None) -> Scorer | None:
        """Return None, as the critic values states only."""
        del x, observation


@dataclasses.dataclass(frozen=True)
class ActorCritic(Section, abc.ABC):
    """Base class of on-policy algorithms: a few epochs on each rollout, which is then discarded."""

    off_policy: ClassVar[bool] = False
    untraced: ClassVar[frozenset[str]] = frozenset()

    actor_lr: float = 1.7e-3
    """Learning rate of the actor (Adam)."""
    std_lr: float = 2e-3
    """Learning rate of the actor's log standard deviation, and of f's log temperature where it has
    one (embedding methods only)."""
    scale_by_std: bool = True
    """Multiply actor_lr by the mean standard deviation (embedding methods only). Otherwise, as the
    standard deviation shrinks, steps of the mean become large beside it, and policies collapse."""
    ent_coef: float = 0.0
    """Coefficient of the entropy bonus, in units of normalised advantage per nat. A slightly
    negative value narrows policies whose noise neither helps nor harms."""
    min_advantage_std: float = 0.0
    """Lower bound of the standard deviation that advantages are divided by, in units of reward; it
    falls linearly to 0 over the run. Where they are all smaller, the entropy bonus outweighs what
    would be noise of the critic."""
    min_std: float = 0.0
    """Lower bound of the standard deviation on each axis of E (embedding methods only). A policy
    without noise can neither follow an embedding that is still updated nor leave a dead end."""
    critic_lr: float = 1e-2
    """Learning rate of the critic (Adam)."""
    gamma: float = 0.99
    """Discount factor, 0 to 1."""
    gae_lambda: float = 0.97
    """Trace decay of generalised advantage estimation, 0 to 1."""
    update_epochs: int = 3
    """Epochs of the actor on each rollout."""
    critic_epochs: int = 6
    """Epochs of the critic on each rollout."""
    anneal: bool = False
    """Lower all learning rates linearly to 0 over the run."""
    by_part: bool = False
    """Give each part of an action, or each axis of E, a probability ratio of its own instead of the
    product of all, which clips all parts where one has moved far."""
    num_minibatches: int = 1
    """Minibatches of each epoch, of equal size, with a gradient step each; steps that are left over
    wait for the next epoch. 1: the whole rollout at once."""

    def validate(self, name: str) -> None:
        """Check all settings, which messages call `<name>.<field>`.

        Raises:
            SettingError: a value is out of range.
        """
        check_at_least(f"{name}.min_std", self.min_std, 0)
        check_at_least(f"{name}.min_advantage_std", self.min_advantage_std, 0)

    @abc.abstractmethod
    def surrogate(
        self,
        log_prob: Float[Array, "*batch"],
        before: Float[Array, "*batch"],
        advantage: Float[Array, "*batch"],
    ) -> tuple[Float[Array, ""], Metrics]:
        """Return the policy's loss, and metrics.

        Args:
            log_prob: of the steps, under the current policy.
            before: the same under the policy that took them.
            advantage: normalised advantages of the steps.
        """

    def goes_on(self, metrics: Metrics) -> Bool[Array, ""] | None:
        """Return whether the gradient step with these metrics may still be taken; None: always.

        After one that may not, the policy stays as it is until the next rollout.
        """
        del metrics
        return None

    def start(
        self,
        features: Features,
        internal: InternalSpace,
        f: Decoder,
        config: PolicyConfig,
        *,
        key: Key,
    ) -> OnPolicyLearner:
        """Return the state before the first update (`Algorithm.start`)."""
        key_actor, key_critic = jax.random.split(key)
        actor = new_actor(features, internal, config, key=key_actor)
        activation = config.activation_or(jnp.tanh)
        critic = network(features, config.hidden, 1, activation=activation, key=key_critic)
        return self.learner(StochasticPolicy(actor, f), critic)

    def learner(self, policy: StochasticPolicy, critic: Network) -> OnPolicyLearner:
        """Return a given policy and critic with new optimisers."""
        start = adam(ADAM_EPS).init
        return OnPolicyLearner(policy, critic, start(policy), start(critic))  # type: ignore[arg-type]

    def update(
        self, learner: OnPolicyLearner, experience: Experience, key: Key
    ) -> tuple[OnPolicyLearner, Metrics]:
        """Learn from a rollout (`Algorithm.update`).

        Advantages come from the critic as it was while the steps were taken. The targets of V are
        advantage + V.

        Raises:
            EmbrlError: the rollout cannot be split evenly into minibatches.
        """
        steps, table, allowed = experience.fresh, experience.table, experience.allowed
        policy, critic, policy_optimiser, critic_optimiser = learner
        chosen_from = allowed if steps.mask is None else steps.mask
        advantage, target = self.advantages(critic, steps)
        taken = steps.x, steps.u, steps.action
        if self.by_part:
            before = policy.log_prob_by_part(table, *taken, chosen_from)
        else:
            before = policy.log_prob(table, *taken, chosen_from)
        least = (1.0 - experience.progress) * self.min_advantage_std
        spread = jnp.maximum(advantage.std() + 1e-8, least)
        advantage = (advantage - advantage.mean()) / spread
        minibatch = Minibatch(*taken, advantage, before, steps.mask)
        # Once a rollout: all gradient steps are as long as the first.
        actor_lr = self.actor_lr * (policy.actor.width() if self.scale_by_std else 1.0)
        std_lr, critic_lr = self.std_lr, self.critic_lr
        if self.anneal:
            left = 1.0 - experience.progress
            actor_lr, std_lr, critic_lr = left * actor_lr, left * std_lr, left * critic_lr

        def improve_policy(
            state: tuple[StochasticPolicy, OptState, Array], part: Minibatch
        ) -> tuple[tuple[StochasticPolicy, OptState, Array], Metrics]:
            policy, optimiser, going = state
            (loss, metrics), gradient = eqx.filter_value_and_grad(self.policy_loss, has_aux=True)(
                policy, table, part, allowed
            )
            direction, after = adam(ADAM_EPS).update(gradient, optimiser)
            change = jax.tree_util.tree_map_with_path(
                lambda path, d: -(std_lr if _is_spread(path) else actor_lr) * d, direction
            )
            improved, may = eqx.apply_updates(policy, change), self.goes_on(metrics)
            if may is not None:
                going = going & may
                improved, after = jax.tree.map(
                    lambda new, old: jnp.where(going, new, old),
                    (improved, after),
                    (policy, optimiser),
                )
            return (improved, after, going), {"actor_loss": loss, **metrics}

        def improve_critic(
            state: tuple[Network, OptState], part: tuple[Array, Array]
        ) -> tuple[tuple[Network, OptState], Metrics]:
            critic, optimiser = state
            loss, gradient = eqx.filter_value_and_grad(critic_loss)(critic, *part)
            direction, optimiser = adam(ADAM_EPS).update(gradient, optimiser)
            change = jax.tree.map(lambda d: -critic_lr * d, direction)
            return (eqx.apply_updates(critic, change), optimiser), {"critic_loss": loss}

        key_policy, key_critic = jax.random.split(key)
        (policy, policy_optimiser, _), metrics = self._epochs(
            improve_policy,
            (policy, policy_optimiser, jnp.bool_(True)),
            minibatch,
            self.update_epochs,
            key_policy,
        )
        if isinstance(policy.actor, GaussianActor):
            policy = eqx.tree_at(
                lambda policy: policy.actor.log_std,
                policy,
                jnp.maximum(policy.actor.log_std, jnp.log(self.min_std)),
            )
        (critic, critic_optimiser), critic_metrics = self._epochs(
            improve_critic,
            (critic, critic_optimiser),
            (steps.x, target),
            self.critic_epochs,
            key_critic,
        )
        return OnPolicyLearner(policy, critic, policy_optimiser, critic_optimiser), {
            **{name: values[-1] for name, values in metrics.items()},
            "actor_loss": metrics["actor_loss"][0],
            "critic_loss": critic_metrics["critic_loss"][0],
            "entropy": policy.actor.entropy(
                steps.x[-1], allowed if steps.mask is None else steps.mask[-1]
            ),
        }

    def advantages(
        self, critic: Network, steps: Batch
    ) -> tuple[Float[Array, "T *B"], Float[Array, "T *B"]]:
        """Return advantages of the steps, and targets of V."""
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
        policy: StochasticPolicy,
        table: ActionTable,
        minibatch: Minibatch,
        allowed: Bool[Array, " n"] | None = None,
    ) -> tuple[Float[Array, ""], Metrics]:
        """Return the surrogate loss less the entropy bonus, and metrics."""
        allowed = minibatch.allowed(allowed)
        steps = minibatch.x, minibatch.u, minibatch.action, allowed
        # XLA keeps 0 * entropy, a quarter of the time of many actions.
        without_bonus = isinstance(self.ent_coef, float) and self.ent_coef == 0.0
        if self.by_part:
            log_prob = policy.log_prob_by_part(table, *steps)
            advantage = minibatch.advantage[..., None]
            mean, metrics = self.surrogate(log_prob, minibatch.before, advantage)
            loss = log_prob.shape[-1] * mean  # a sum over parts, as log-probabilities add up
            if without_bonus:
                return loss, metrics
            return loss - self.ent_coef * policy.actor.entropy(minibatch.x, allowed), metrics
        if without_bonus:
            log_prob = policy.log_prob(table, *steps)
            return self.surrogate(log_prob, minibatch.before, minibatch.advantage)
        log_prob, entropy = policy.log_prob_and_entropy(table, *steps)
        loss, metrics = self.surrogate(log_prob, minibatch.before, minibatch.advantage)
        return loss - self.ent_coef * entropy, metrics

    def _epochs(
        self,
        step: Callable[[State, Data], tuple[State, Metrics]],
        state: State,
        data: Data,
        epochs: int,
        key: Key,
    ) -> tuple[State, Metrics]:
        """Take a gradient step on every minibatch of the data `[T, B, ...]`, in several epochs."""
        lengths = jax.tree.leaves(data)[0].shape[:2]
        count = lengths[0] * lengths[1]
        # One axis for all steps: XLA multiplies matrices faster than stacks of small ones.
        rows = jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[2:]), data)
        if self.num_minibatches == 1:
            return jax.lax.scan(lambda state, _: step(state, rows), state, length=epochs)
        size = count // self.num_minibatches
        if not size:
            raise EmbrlError(
                f"num_minibatches must be at most the {count} steps of a rollout, got "
                f"{self.num_minibatches}"
            )
        order = shuffled(key, epochs, count)
        return jax.lax.scan(
            lambda state, chosen: step(state, jax.tree.map(lambda leaf: leaf[chosen], rows)),
            state,
            order[:, : size * self.num_minibatches].reshape(epochs * self.num_minibatches, size),
        )


def new_actor(
    features: Features, internal: InternalSpace, config: PolicyConfig, *, key: Key
) -> Actor:
    """Return a new internal policy for a space of internal actions of any kind."""
    activation, last_scale = config.activation_or(jnp.tanh), config.last_scale
    if isinstance(internal, IndexedActions):
        return CategoricalActor(
            features,
            internal.n,
            config.hidden,
            activation=activation,
            last_scale=last_scale,
            key=key,
        )
    if isinstance(internal, PartedActions):
        return ProductActor(
            features,
            internal.product,
            config.hidden,
            std=config.std,
            bounded=config.bounded,
            activation=activation,
            last_scale=last_scale,
            key=key,
        )
    return GaussianActor(
        features,
        internal.d,
        config.hidden,
        std=config.std * internal.unit,
        bounded=config.bounded,
        activation=activation,
        last_scale=last_scale,
        key=key,
    )


def critic_loss(critic: Network, x: Array, target: Float[Array, "*batch"]) -> Float[Array, ""]:
    """Return the mean squared error of V(x)."""
    return ((critic(x)[..., 0] - target) ** 2).mean()


def shuffled(key: Key, epochs: int, count: int) -> Int[Array, "epochs count"]:
    """Return a random order of the numbers below `count` for each epoch.

    Whole numbers are sorted whose high bits are random and whose low bits are what is ordered:
    several times as fast as sorting pairs. Equal high bits, rare in rollouts of a usual size, leave
    two neighbours in their order.
    """
    low = max(1, (count - 1).bit_length())
    if low > SHUFFLE_BITS:
        keys = jax.random.split(key, epochs)
        return jax.vmap(lambda key: jax.random.permutation(key, jnp.arange(count)))(keys)
    numbers = jnp.arange(count, dtype=jnp.uint32)
    high = jax.random.bits(key, (epochs, count), jnp.uint32) >> low << low
    return (jnp.sort(high | numbers, axis=-1) & np.uint32(2**low - 1)).astype(jnp.int32)


def _is_spread(path: tuple) -> bool:
    return any(getattr(entry, "name", None) in SPREADS for entry in path)


def generalised_advantages(
    reward: Float[Array, "T *B"],
    value: Float[Array, "T *B"],
    next_value: Float[Array, "T *B"],
    terminated: Bool[Array, "T *B"],
    truncated: Bool[Array, "T *B"],
    gamma: Float[Array, ""] | float,
    lambda_: Float[Array, ""] | float,
) -> Float[Array, "T *B"]:
    """Return generalised advantage estimates (Schulman et al. 2016, eq. 16).

        delta_t = r_t + gamma (1 - terminated_t) V(s_{t+1}) - V(s_t)
        A_t = delta_t + gamma lambda (1 - terminated_t) (1 - truncated_t) A_{t+1}

    Args:
        reward: r_t.
        value: V(s_t).
        next_value: V of the true next observation, also where the episode was truncated and the
            environment continues with another one.
        terminated: nothing follows after such a step.
        truncated: value follows after such a step, but not in this row. The last row counts as
            truncated.
        gamma: discount factor.
        lambda_: trace decay.
    """
    delta = reward + gamma * jnp.where(terminated, 0.0, next_value) - value
    carry_on = jnp.where(terminated | truncated, 0.0, gamma * lambda_)

    def back(after: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta_t, carry_on_t = now
        advantage = delta_t + carry_on_t * after
        return advantage, advantage

    _, advantages = jax.lax.scan(back, jnp.zeros_like(delta[0]), (delta, carry_on), reverse=True)
    return advantages
