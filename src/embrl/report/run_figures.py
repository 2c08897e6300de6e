"""Figures of a run folder, and of a folder that holds an embedding alone."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cattrs
import jax
import jax.numpy as jnp
import numpy as np

from embrl.config.run import RunConfig, TransferConfig, load_config
from embrl.core.errors import EmbrlError
from embrl.core.images import is_image
from embrl.core.spaces import factors, is_discrete
from embrl.core.types import Transition
from embrl.embedding import saved as fitted
from embrl.embedding.encoders import StateEncoder
from embrl.embedding.methods import METHODS
from embrl.embedding.saved import SavedEmbedding
from embrl.envs import ENVIRONMENTS, Environment
from embrl.fitting.fit import embedding_of_run
from embrl.report.curve_figure import plot_curves
from embrl.report.curves import read_curve
from embrl.report.embedding_figure import plot_actions, plot_embedding
from embrl.report.environment_pictures import picture_of
from embrl.report.named_actions_figure import plot_named_actions
from embrl.report.seen_images import plot_seen_images
from embrl.storage import files
from embrl.storage.run_folder import RunFolder
from embrl.training.action_inputs import ActionInputs
from embrl.training.backend import AnyEnvironment, make_backend
from embrl.training.environment_record import EnvironmentRecord, environment_of
from embrl.training.replicas import Replicas, seed_keys
from embrl.training.trainer import Trainer

MAX_DRAWN = 1600
"""Maximum number of continuous states or actions drawn if no picture of the environment selects
them."""
MAX_ACTIONS = 20_000
"""Maximum number of actions of an embedding's table drawn if their effects are unknown."""


# Run folders


def draw_run(path: str | Path, seed: int = 0) -> Iterator[Path]:
    """Draw a run's learning curve and what one seed's embedding holds.

    That is the embedding of states and actions, observations at their points if they are images,
    and actions by name if they have names.

    Args:
        path: The run folder.
        seed: Index of the seed whose embedding is drawn.

    Yields:
        The path of each figure, in the folder `figures` of the run, once it is written.

    Raises:
        EmbrlError: There is no run, its files are damaged, or its environment cannot be built.
    """
    folder = RunFolder.existing(path)
    config = load_config(folder)
    files.make_folder(folder.figures)
    curve = read_curve(folder)
    title = f"{curve.label} on {config.environment}"
    plot_curves([curve], folder.figures / "learning_curve.png", title)
    yield folder.figures / "learning_curve.png"
    method = METHODS[config.method]
    if not method.embeds:
        return
    found = embedding_of_run(path, seed)
    if method.states:  # the figure compares states with actions
        _draw_embedding(found, folder, config, seed, folder.figures / "embedding.png")
        yield folder.figures / "embedding.png"
        yield from _draw_seen_images(found, folder.figures / "states.png", title)
    names = EnvironmentRecord.read(folder).action_names
    table = found.model.g.table
    if method.actions and names is not None and table is not None:
        target = folder.figures / "actions.png"
        plot_named_actions(target, g=np.asarray(table), names=names, title=f"Actions: {title}")
        yield target


def draw_embedding(
    folder: RunFolder, config: RunConfig, seed: int, path: Path, title: str = ""
) -> None:
    """Draw the embedding of one seed of a run, as `plot_embedding` does, and write a PNG."""
    _draw_embedding(embedding_of_run(folder.path, seed), folder, config, seed, path, title)


def _draw_embedding(
    found: SavedEmbedding,
    folder: RunFolder,
    config: RunConfig,
    seed: int,
    path: Path,
    title: str = "",
) -> None:
    embedding: Any = found.model
    try:
        env: AnyEnvironment = environment_of(folder, config)
    except EmbrlError:  # it is not here: draw what the checkpoint holds of it
        phi, met = _fitted_states(found, None)
        g = _fitted_actions(found, None)
        plot_embedding(path, environment=None, phi=phi, g=g, visited=met, title=title)
        return
    known = env if isinstance(env, Environment) else None
    picture = None if known is None else picture_of(known)
    if not is_discrete(env.observation_space):
        shown = (
            _sampled_transitions(folder, config, env, seed).observation
            if picture is None
            else picture.observations
        )
        points, visited = np.asarray(embedding.phi(jnp.asarray(shown))), None
    elif len(factors(env.observation_space)) == 1:
        points = np.asarray(embedding.phi.points[0])
        visited = visited_states(folder, config, env, seed)
    else:
        # There are too many combinations to draw, so the values of the last factor are drawn, such
        # as the last item bought.
        points, visited = np.asarray(embedding.phi.points[-1]), None
    table = embedding.g.table
    if table is None:  # actions cannot be listed: draw some that were taken
        table = embedding.g(jnp.asarray(_sampled_transitions(folder, config, env, seed).action))
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
    """Return True for states of a `Discrete` space that one seed's pre-training visited."""
    visited = np.zeros(factors(env.observation_space)[0], bool)
    seen = _pretraining_transitions(folder, config, env, seed)
    visited[np.asarray(seen.observation)] = True
    visited[np.asarray(seen.next_observation)] = True
    return visited


def _pretraining_transitions(
    folder: RunFolder, config: RunConfig, env: AnyEnvironment, seed: int
) -> Transition:
    """Collect the transitions of one seed's pre-training again, `[T, B, ...]`."""
    inputs = ActionInputs.of_run(config, env.action_space, folder)
    trainer = Trainer(config, env.observation_space, env.action_space, action_inputs=inputs)
    if isinstance(env, Environment):
        return jax.jit(trainer.collect)(env, seed_keys(config.seed, config.seeds)[seed])
    found = make_backend(Replicas(trainer), env).collect()
    return jax.tree.map(lambda column: column[seed], found)


def _sampled_transitions(
    folder: RunFolder, config: RunConfig, env: AnyEnvironment, seed: int
) -> Transition:
    """Return up to `MAX_DRAWN` transitions of random actions, `[N, ...]`."""
    # A run that took over its embedding had no pre-training: collect as if it had.
    config = dataclasses.replace(config, transfer=TransferConfig())
    if not isinstance(env, Environment):  # steps are slow there: take few, of one seed
        few = dataclasses.replace(config.pretrain, timesteps=MAX_DRAWN)
        config, seed = dataclasses.replace(config, pretrain=few, seeds=1, vary={}), 0
    seen = _pretraining_transitions(folder, config, env, seed)
    flat = jax.tree.map(lambda column: np.asarray(column).reshape(-1, *column.shape[2:]), seen)
    return jax.tree.map(lambda column: column[:: -(-len(column) // MAX_DRAWN)], flat)


# Folders of embeddings


def draw_fitted(path: str | Path) -> Iterator[Path]:
    """Draw the embedding that `embrl fit` wrote to a folder.

    Args:
        path: The folder of the embedding.

    Yields:
        The path of each figure, in `figures` of that folder, once it is written: the embedding, and
        observations at their points if they are images.

    Raises:
        EmbrlError: There is no embedding, a file is damaged, or nothing that could be drawn was
            saved.
    """
    found = fitted.read(path)
    env = environment_of_fitted(found)
    target = Path(path) / "figures" / "embedding.png"
    files.make_folder(target.parent)
    title = f"{found.method} on {found.source.get('name')}"
    g = _fitted_actions(found, env)
    if not isinstance(found.model.phi, StateEncoder):
        plot_actions(target, environment=env, g=g, title=title)
        yield target
        return
    phi, visited = _fitted_states(found, env)
    plot_embedding(target, environment=env, phi=phi, g=g, visited=visited, title=title)
    yield target
    yield from _draw_seen_images(found, target.with_name("states.png"), title)


def _draw_seen_images(found: SavedEmbedding, path: Path, title: str) -> Iterator[Path]:
    """Draw held-out observations at their points, if they are images and there are any."""
    if not is_image(found.observation_space) or found.reference is None:
        return
    images = np.asarray(found.reference.held_out.observation)
    phi, _ = _fitted_states(found, None)
    plot_seen_images(path, phi=phi, images=images, title=f"States: {title}")
    yield path


def environment_of_fitted(found: SavedEmbedding) -> Environment | None:
    """Return the environment of embrl's own that the embedding was fitted in, None if unknown."""
    source = found.source
    name = str(source.get("name"))
    if source.get("kind") != "environment" or name not in ENVIRONMENTS:
        return None
    try:
        settings: Any = cattrs.structure(source.get("env"), ENVIRONMENTS[name])
        env = settings.build()
    except Exception:  # another version's, or its data is not here: draw without a picture
        return None
    same = (env.observation_space, env.action_space) == (
        found.observation_space,
        found.action_space,
    )
    return env if same else None


def _fitted_actions(found: SavedEmbedding, env: Environment | None) -> np.ndarray:
    table: Any = found.model.g.table
    if table is not None:
        g = np.asarray(table)
        known = env is not None and env.action_effects() is not None
        return g if known else g[:: -(-len(g) // MAX_ACTIONS)]
    return np.asarray(found.model.g(jnp.asarray(_held_out(found).action)))


def _fitted_states(
    found: SavedEmbedding, env: Environment | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return points of X, and which of them the data contains."""
    phi: Any = found.model.phi
    picture = None if env is None else picture_of(env)
    if not is_discrete(found.observation_space):
        shown = _held_out(found).observation if picture is None else picture.observations
        return np.asarray(phi(jnp.asarray(shown))), None
    points = np.asarray(phi.points[-1])
    if len(phi.points) > 1 or found.reference is None:
        return points, None
    bits = np.asarray(found.reference.seen.bits)
    met = np.unpackbits(bits.astype("<u4").view(np.uint8), bitorder="little")
    return points, met[: len(points)].astype(bool) if len(met) >= len(points) else None


def _held_out(found: SavedEmbedding) -> Any:
    if found.reference is None:
        raise EmbrlError(
            "there is nothing to draw: the run that the embedding comes from saved no transitions"
        )
    return found.reference.held_out
