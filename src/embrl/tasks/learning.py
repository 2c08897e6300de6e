"""Training of the networks of tasks on transitions in an embedding."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from embrl.core.types import Key
from embrl.embedding.pretraining import cosine_decay
from embrl.tasks.config import TasksConfig
from embrl.tasks.gradient_steps import take_steps
from embrl.tasks.laplacian import learn_laplacian
from embrl.tasks.networks import TaskNetworks, unit_task
from embrl.tasks.next_states import EmbeddedSteps, KnownStates

POLYAK = 0.01
"""Share by which the networks of targets follow in each gradient step."""


class _Training(NamedTuple):
    networks: TaskNetworks
    target: TaskNetworks
    optimiser: optax.OptState


def learn_tasks(
    steps: EmbeddedSteps,
    known: KnownStates,
    config: TasksConfig,
    key: Key,
    on_progress: Callable[[int, int, float], None] = lambda *_: None,
) -> TaskNetworks:
    """Train the networks.

    Args:
        steps: transitions, of any policy.
        known: next states of the data.
        config: settings.
        key: random key.
        on_progress: called now and then with the steps done, all steps, and the loss.

    Raises:
        EmbrlError: the loss is not finite.
    """
    if config.features == "laplacian":
        return learn_laplacian(steps, known, config, key, on_progress)
    key_new, key_steps = jax.random.split(key)
    m, d = steps.x.shape[-1], steps.e.shape[-1]
    networks = TaskNetworks(m, d, config, key=key_new)
    state = _Training(networks, networks, _adam().init(eqx.filter(networks, eqx.is_array)))
    state = take_steps(
        lambda state, numbers: _train(state, steps, key_steps, numbers, config),
        state,
        config,
        on_progress,
    )
    return state.networks


def _adam() -> optax.GradientTransformation:
    return optax.scale_by_adam()


@eqx.filter_jit
def _train(
    state: _Training, steps: EmbeddedSteps, key: Key, numbers: Array, config: TasksConfig
) -> tuple[_Training, Float[Array, " steps"]]:
    def step(state: _Training, number: Array) -> tuple[_Training, Array]:
        batch = _draw(state.target, steps, jax.random.fold_in(key, number), config)
        loss, gradient = eqx.filter_value_and_grad(tasks_loss)(
            state.networks, state.target, *batch, config
        )
        rate = cosine_decay(config.learning_rate, config.gradient_steps, number)
        update, optimiser = _adam().update(gradient, state.optimiser)
        networks = eqx.apply_updates(state.networks, jax.tree.map(lambda u: -rate * u, update))
        target = jax.tree.map(
            lambda old, new: old + POLYAK * (new - old) if eqx.is_array(old) else old,
            state.target,
            networks,
        )
        return _Training(networks, target, optimiser), loss

    return jax.lax.scan(step, state, numbers)


def _draw(
    networks: TaskNetworks, steps: EmbeddedSteps, key: Key, config: TasksConfig
) -> tuple[EmbeddedSteps, Float[Array, "N k"], Float[Array, "C d"]]:
    """Return transitions, a task for each, and candidate actions.

    Half of the tasks are to reach a state of the data, the others are random directions.
    """
    key_rows, key_goals, key_normal, key_actions = jax.random.split(key, 4)
    count, size = steps.x.shape[0], config.batch_size
    rows = jax.random.randint(key_rows, (size,), 0, count)
    goals = jax.random.randint(key_goals, (size // 2,), 0, count)
    actions = jax.random.randint(key_actions, (config.candidates,), 0, count)
    z = jax.random.normal(key_normal, (size, config.dim))
    z = z.at[: size // 2].set(networks.B(steps.x_next[goals]))
    return jax.tree.map(lambda column: column[rows], steps), unit_task(z), steps.e[actions]


def tasks_loss(
    networks: TaskNetworks,
    target: TaskNetworks,
    batch: EmbeddedSteps,
    z: Float[Array, "N k"],
    candidates: Float[Array, "C d"],
    config: TasksConfig,
) -> Float[Array, ""]:
    """Return the loss of F and B on a batch.

    Args:
        networks: networks to train.
        target: their slower copies, for targets.
        batch: transitions.
        z: a task for each of them.
        candidates: actions among which the policies choose in the next states.
        config: settings.
    """
    ahead = target.best(batch.x_next, candidates, z)
    discount = config.gamma * (1.0 - batch.terminated)
    forward = networks.F(batch.x, batch.e, z)
    backward = networks.B(batch.x_next)
    # B is orthonormal: so the loss of the successor measure in F is this squared error, without
    # the noise of pairs of states (Touati & Ollivier 2021, appendix).
    aim = jax.lax.stop_gradient(target.B(batch.x_next) + discount[:, None] * ahead)
    loss = ((forward - aim) ** 2).mean()
    spread = _off_diagonal(backward @ backward.T) / 2 - (backward**2).sum(-1).mean()
    measure = jax.lax.stop_gradient(forward) @ backward.T
    aim = jax.lax.stop_gradient(discount[:, None] * (ahead @ target.B(batch.x_next).T))
    fit = _off_diagonal(measure - aim) / 2 - jnp.diag(measure).mean()
    return loss + fit + config.orthonormality * spread


def _off_diagonal(matrix: Float[Array, "N N"]) -> Float[Array, ""]:
    """Return the mean square of a matrix but its diagonal."""
    n = matrix.shape[0]
    return ((matrix**2).sum() - (jnp.diag(matrix) ** 2).sum()) / (n * (n - 1))
