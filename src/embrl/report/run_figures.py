"""All pictures of one run."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from embrl.config.run import RunConfig, TransferConfig
from embrl.core.spaces import factors, is_continuous
from embrl.core.types import Transition
from embrl.embedding.methods import METHODS
from embrl.envs import AnyEnvironment, Environment
from embrl.report.curves import plot_curves, read_curve
from embrl.report.embedding_figure import plot_embedding
from embrl.report.environment_pictures import picture_of
from embrl.storage.run_folder import RunFolder
from embrl.training import action_inputs
from embrl.training.backend import make_backend
from embrl.training.replicas import Replicas, seed_keys
from embrl.training.restore import restore_policy
from embrl.training.trainer import Trainer

SHOWN = 1600
"""States and actions of boxes that are drawn, where no picture says which."""


def draw_run(path: str | Path, seed: int = 0) -> Iterator[Path]:
    """Draws a run's learning curve and, where there is one, its embedding.

    **Yields** each picture's path, in the run's `figures` folder, once it is drawn.

    Raises:
        EmbrlError: there is no run, its files are damaged, or its environment cannot be built.
    """
    folder = RunFolder.existing(path)
    config = load_config(folder)
    folder.figures.mkdir(exist_ok=True)
    curve = read_curve(folder)
    title = f"{curve.label} on the {config.environment}"
    plot_curves([curve], folder.figures / "learning_curve.png", title)
    yield folder.figures / "learning_curve.png"
    if METHODS[config.method].states:  # the picture sets states and actions side by side
        draw_embedding(folder, config, seed, folder.figures / "embedding.png")
        yield folder.figures / "embedding.png"


def draw_embedding(
    folder: RunFolder, config: RunConfig, seed: int, path: Path, title: str = ""
) -> None:
    """Draws one seed's embedding, as `plot_embedding` does, and writes a PNG."""
    embedding = restore_policy(folder, config, seed).embedding
    assert embedding is not None
    env: AnyEnvironment = config.env.build()
    known = env if isinstance(env, Environment) else None
    picture = None if known is None else picture_of(known)
    if is_continuous(env.observation_space):
        shown = (
            _some_seen(folder, config, env, seed).observation
            if picture is None
            else picture.observations
        )
        points, visited = np.asarray(embedding.phi(jnp.asarray(shown))), None
    elif len(factors(env.observation_space)) == 1:
        points = np.asarray(embedding.phi.points[0])
        visited = visited_states(folder, config, env, seed)
    else:
        # Too many combinations to show: the values of the last factor (the last item bought).
        points, visited = np.asarray(embedding.phi.points[-1]), None
    table = embedding.g.table
    if table is None:  # actions cannot be listed: some that were taken
        table = embedding.g(jnp.asarray(_some_seen(folder, config, env, seed).action))
    plot_embedding(
        path,
        environment=known,
        phi=points,
        g=np.asarray(table),
        visited=visited,
        title=title,
    )


def visited_states(
    folder: RunFolder, config: RunConfig, env: AnyEnvironment, seed: int
) -> np.ndarray:
    """Which states of a `Discrete` space one seed's pre-training met, bool `[states]`."""
    visited = np.zeros(factors(env.observation_space)[0], bool)
    seen = _seen(folder, config, env, seed)
    visited[np.asarray(seen.observation)] = True
    visited[np.asarray(seen.next_observation)] = True
    return visited


def _seen(folder: RunFolder, config: RunConfig, env: AnyEnvironment, seed: int) -> Transition:
    """The transitions of pre-training, `[T, B, ...]`."""
    inputs = action_inputs.of_run(config, env.action_space, folder)
    trainer = Trainer(config, env.observation_space, env.action_space, inputs=inputs)
    if isinstance(env, Environment):
        return jax.jit(trainer.collect)(env, seed_keys(config.seed, config.seeds)[seed])
    found = make_backend(Replicas(trainer), env).collect()
    return jax.tree.map(lambda column: column[seed], found)


def _some_seen(folder: RunFolder, config: RunConfig, env: AnyEnvironment, seed: int) -> Transition:
    """Some of them, `[N, ...]`."""
    # Where the embedding came from another run, there was no pre-training: as if there had been.
    config = dataclasses.replace(config, transfer=TransferConfig())
    if not isinstance(env, Environment):  # others as good, as its steps are dear
        few = dataclasses.replace(config.pretrain, timesteps=SHOWN)
        config, seed = dataclasses.replace(config, pretrain=few, seeds=1, vary={}), 0
    seen = _seen(folder, config, env, seed)
    flat = jax.tree.map(lambda column: np.asarray(column).reshape(-1, *column.shape[2:]), seen)
    return jax.tree.map(lambda column: column[:: -(-len(column) // SHOWN)], flat)
