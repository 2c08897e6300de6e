"""Chunks of gradient steps of an embedding of agents: pure, compiled once."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from embrl.agents.architecture import Architecture
from embrl.agents.decisions import centred
from embrl.agents.embeddings.model import AgentModel, Batch, loss
from embrl.agents.visits import visited
from embrl.core.types import Key
from embrl.envs.environment import Environment


class Material(NamedTuple):
    """The training agents."""

    w: Float[Array, "N size"]
    sizes: Float[Array, " N"]
    """Of their logits (`decisions.size`), in the states they visit."""
    visited: Float[Array, "N keep inputs"]
    """By each of them."""


class FitState(NamedTuple):
    """A model in training."""

    model: AgentModel
    optimiser: optax.OptState
    step: Int[Array, ""]


class Plan(NamedTuple):
    """What a chunk's program depends on."""

    batch: int
    states: int
    """Compared for each agent of a batch; a half by the agent itself, a quarter by its
    reconstruction, a quarter by any agent."""
    working: int
    """Agents whose reconstructions are let act at the beginning of a chunk; the chunk's batches are
    drawn from them."""
    chunk: int
    """Gradient steps."""
    learning_rate: float
    beta: float
    steps: int
    """In all."""
    warm: int
    """Steps over which the learning rate rises."""


def optimiser() -> optax.GradientTransformation:
    """Adam's directions, of gradients of length 1 at most."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())


def start(model: AgentModel) -> FitState:
    """Before the first step."""
    return FitState(model, optimiser().init(eqx.filter(model, eqx.is_array)), jnp.int32(0))


@functools.partial(jax.jit, static_argnames=("plan",))
def chunk(
    state: FitState, material: Material, environment: Environment, key: Key, plan: Plan
) -> tuple[FitState, dict[str, Float[Array, " chunk"]]]:
    """`plan.chunk` gradient steps.

    At its beginning the reconstructions of a working set of agents act in the environment; where
    they come to, the original says what it would do (as DAgger does, Ross et al. 2011), so that
    errors do not add up over time.

    Arguments:
        key: of the whole run; the step is folded in.

    **Returns** the new state, and the loss and its parts at every step.
    """
    key = jax.random.fold_in(key, state.step)
    choosing, acting, learning = jax.random.split(key, 3)
    architecture = state.model.architecture
    chosen = jax.random.permutation(choosing, len(material.w))[: plan.working]
    mine = jax.tree.map(lambda a: a[chosen], material)
    elsewhere = mine.visited[:, :0]
    if state.model.visits:
        elsewhere = _followed(state.model, environment, mine, acting)

    def step(state: FitState, key: Key) -> tuple[FitState, dict[str, Any]]:
        drawing, noise = jax.random.split(key)
        batch = _draw(architecture, mine, elsewhere, material.visited, drawing, plan)
        (value, parts), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(
            state.model, batch, noise, plan.beta
        )
        direction, adam = optimiser().update(gradient, state.optimiser)
        rate = learning_rate(plan, state.step)
        model = eqx.apply_updates(state.model, jax.tree.map(lambda d: -rate * d, direction))
        return FitState(model, adam, state.step + 1), {"loss": value, **parts}

    return jax.lax.scan(step, state, jax.random.split(learning, plan.chunk))


def learning_rate(plan: Plan, step: Int[Array, ""]) -> Float[Array, ""]:
    """A straight rise over `plan.warm` steps, then half a cosine down to zero at `plan.steps`."""
    rise = jnp.minimum((step + 1) / max(plan.warm, 1), 1.0)
    return plan.learning_rate * rise * 0.5 * (1.0 + jnp.cos(jnp.pi * step / plan.steps))


def _followed(
    model: AgentModel, environment: Environment, mine: Material, key: Key
) -> Float[Array, "working keep inputs"]:
    noise, acting = jax.random.split(key)
    mean, log_deviation = model.posterior(model.features(mine.w))
    z = mean + jnp.exp(log_deviation) * jax.random.normal(noise, mean.shape)
    keep = mine.visited.shape[1]
    return visited(environment, model.architecture, model.decode(z), acting, keep=keep)


def _draw(
    architecture: Architecture,
    mine: Material,
    elsewhere: Float[Array, "working keep inputs"],
    everywhere: Float[Array, "N keep inputs"],
    key: Key,
    plan: Plan,
) -> Batch:
    who, *keys = jax.random.split(key, 5)
    rows = jax.random.randint(who, (plan.batch,), 0, len(mine.w))
    w = mine.w[rows]
    if not elsewhere.shape[1]:
        nothing = jnp.zeros((plan.batch, 0, architecture.inputs))
        return Batch(w, nothing, jnp.zeros((plan.batch, 0, architecture.outputs)))
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
    return Batch(w, states, votes)
