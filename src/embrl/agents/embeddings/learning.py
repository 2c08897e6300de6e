"""Compiled chunks of gradient steps of an embedding of agents."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from embrl.agents.architecture import Architecture
from embrl.agents.embeddings.models import AgentBatch, AgentModel, loss
from embrl.agents.episodes import visited_states
from embrl.agents.similarity import centred
from embrl.core.types import Key
from embrl.envs.environment import Environment


class TrainingAgents(NamedTuple):
    """Training agents with the states they visit."""

    w: Float[Array, "N size"]
    sizes: Float[Array, " N"]
    """Root mean square of their centred logits in the states they visit."""
    visited: Float[Array, "N keep inputs"]
    """States visited by each of them."""


class AgentFitState(NamedTuple):
    """Model in training."""

    model: AgentModel
    optimiser: optax.OptState
    step: Int[Array, ""]


class AgentFitPlan(NamedTuple):
    """Static settings of a chunk's compiled program."""

    batch: int
    states: int
    """States compared for each agent of a batch.

    Half are visited by the agent itself, a quarter by its reconstruction, a quarter by any agent.
    """
    working: int
    """Size of the working set.

    Its agents' reconstructions act at the beginning of a chunk; the chunk's batches are drawn from
    it.
    """
    chunk: int
    """Gradient steps per chunk."""
    learning_rate: float
    beta: float
    steps: int
    """Gradient steps in total."""
    warm: int
    """Steps over which the learning rate rises."""


def optimiser() -> optax.GradientTransformation:
    """Return the optimizer: Adam's directions, of gradients clipped to length 1."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())


def start(model: AgentModel) -> AgentFitState:
    """Return the state before the first step."""
    return AgentFitState(model, optimiser().init(eqx.filter(model, eqx.is_array)), jnp.int32(0))


@functools.partial(jax.jit, static_argnames=("plan",))
def chunk(
    state: AgentFitState,
    material: TrainingAgents,
    environment: Environment,
    key: Key,
    plan: AgentFitPlan,
) -> tuple[AgentFitState, dict[str, Float[Array, " chunk"]]]:
    """Take `plan.chunk` gradient steps.

    At its beginning the reconstructions of a working set of agents act in the environment; in the
    states they reach, the originals give the target decisions (as in DAgger, Ross et al. 2011), so
    that errors do not accumulate over time.

    Args:
        state: model in training.
        material: training agents.
        environment: environment of the agents.
        key: key of the whole fit; the step is folded in.
        plan: static settings.

    Returns:
        The new state, and the loss and its parts at every step.
    """
    key = jax.random.fold_in(key, state.step)
    choosing, acting, learning = jax.random.split(key, 3)
    architecture = state.model.architecture
    chosen = jax.random.permutation(choosing, len(material.w))[: plan.working]
    mine = jax.tree.map(lambda a: a[chosen], material)
    elsewhere = mine.visited[:, :0]
    if state.model.visits:
        elsewhere = _followed(state.model, environment, mine, acting)

    def step(state: AgentFitState, key: Key) -> tuple[AgentFitState, dict[str, Any]]:
        drawing, noise = jax.random.split(key)
        batch = _draw(architecture, mine, elsewhere, material.visited, drawing, plan)
        (value, parts), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(
            state.model, batch, noise, plan.beta
        )
        direction, adam = optimiser().update(gradient, state.optimiser)
        rate = learning_rate(plan, state.step)
        model = eqx.apply_updates(state.model, jax.tree.map(lambda d: -rate * d, direction))
        return AgentFitState(model, adam, state.step + 1), {"loss": value, **parts}

    return jax.lax.scan(step, state, jax.random.split(learning, plan.chunk))


def learning_rate(plan: AgentFitPlan, step: Int[Array, ""]) -> Float[Array, ""]:
    """Return the rate: a linear rise over `plan.warm` steps, then half a cosine down to zero."""
    rise = jnp.minimum((step + 1) / max(plan.warm, 1), 1.0)
    return plan.learning_rate * rise * 0.5 * (1.0 + jnp.cos(jnp.pi * step / plan.steps))


def _followed(
    model: AgentModel, environment: Environment, mine: TrainingAgents, key: Key
) -> Float[Array, "working keep inputs"]:
    noise, acting = jax.random.split(key)
    mean, log_deviation = model.posterior(model.features(mine.w))
    z = mean + jnp.exp(log_deviation) * jax.random.normal(noise, mean.shape)
    keep = mine.visited.shape[1]
    return visited_states(environment, model.architecture, model.decode(z), acting, keep=keep)


def _draw(
    architecture: Architecture,
    mine: TrainingAgents,
    elsewhere: Float[Array, "working keep inputs"],
    everywhere: Float[Array, "N keep inputs"],
    key: Key,
    plan: AgentFitPlan,
) -> AgentBatch:
    who, *keys = jax.random.split(key, 5)
    rows = jax.random.randint(who, (plan.batch,), 0, len(mine.w))
    w = mine.w[rows]
    if not elsewhere.shape[1]:
        nothing = jnp.zeros((plan.batch, 0, architecture.inputs))
        return AgentBatch(w, nothing, jnp.zeros((plan.batch, 0, architecture.outputs)))
    half, quarter = plan.states // 2, plan.states // 4

    def some(source: Array, rows: Array, key: Key, count: int) -> Array:
        columns = jax.random.randint(key, (plan.batch, count), 0, source.shape[1])
        return source[rows, columns]

    any_agent = jax.random.randint(keys[3], (plan.batch, quarter), 0, len(everywhere))
    states = jnp.concatenate(
        [
            some(mine.visited, rows[:, None], keys[0], half),
            some(elsewhere, rows[:, None], keys[1], quarter),
            some(everywhere, any_agent, keys[2], quarter),
        ],
        axis=1,
    )
    votes = centred(architecture.logits(w, states)) / mine.sizes[rows][:, None, None]
    return AgentBatch(w, states, votes)
