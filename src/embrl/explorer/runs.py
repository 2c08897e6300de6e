"""The page of a run or an embedding: states and actions, as they are and as they are embedded."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError
from embrl.core.images import is_image
from embrl.core.spaces import is_discrete
from embrl.envs import Environment
from embrl.envs.square import Square
from embrl.explorer.page import Cloud, MapView, Page, spread
from embrl.explorer.policies import behaviour, walk_of
from embrl.explorer.projection import projected
from embrl.fitting.embedding import Embedding
from embrl.report.embedding_figure import Plane
from embrl.report.environment_pictures import picture_of
from embrl.report.run_figures import environment_of_fitted
from embrl.store import sources
from embrl.trained import Run
from embrl.training.environment_record import environment_of
from embrl.training.restore import restore_policy

MAX_IMAGES = 2_000
"""Pictures of states in a page, at most."""
MAX_PIXELS = 4_096
"""Numbers in an observation whose principal components are shown."""
MAX_COLUMNS = 12
"""Coordinates of a place or an effect that are metadata, at most."""


class Observed(NamedTuple):
    """States that are shown."""

    ids: np.ndarray
    observations: np.ndarray
    columns: dict[str, np.ndarray]
    images: np.ndarray | None
    places: np.ndarray | None
    """Coordinates `[n, p]`, of the environment or of the observations; None where there are
    none."""


def page_of_run(
    run: Run,
    *,
    seed: int = 0,
    projection: str = "pca",
    metadata: Mapping[str, Any] | None = None,
    most: int,
) -> Page:
    """Return the page of a run: its embedding, and what its policy does in each state.

    Args:
        run: the run.
        seed: index of the seed.
        projection: `pca` or `umap`.
        metadata: of actions, as `Store.load_actions` takes it.
        most: points of a cloud, at most.

    Raises:
        EmbrlError: there is no such seed, or the method has no embedding.
    """
    embedding = run.embedding(seed)
    try:
        env: Any = run.environment or environment_of(run.folder, run.config)
    except EmbrlError:  # of an object: its points are shown without their places
        env = None
    env = env if isinstance(env, Environment) else None
    page, seen, ids = _page(embedding, env, run, projection, metadata, most, seed)
    restored = restore_policy(run.folder, run.config, seed)
    policy, columns = behaviour(
        restored.policy.in_environment(env), embedding, seen.observations, ids
    )
    clouds = dict(page.clouds)
    if "states" in clouds:
        named = {**clouds["states"].columns, **columns}
        clouds["states"] = dataclasses.replace(clouds["states"], columns=named)
    return Page(
        title=f"{run.config.method} on {run.config.environment}",
        notes=(f"Run {run.folder.path.name}, seed {seed}, {run.config.algorithm}.", *page.notes),
        clouds=clouds,
        views=page.views,
        policy=policy,
        walk=walk_of(env, len(seen.ids)),
    )


def page_of_embedding(
    embedding: Embedding,
    *,
    projection: str = "pca",
    metadata: Mapping[str, Any] | None = None,
    most: int,
) -> Page:
    """Return the page of an embedding without a policy; arguments as of `page_of_run`."""
    env = environment_of_fitted(embedding)
    return _page(embedding, env, embedding, projection, metadata, most, 0)[0]


def _page(
    embedding: Embedding,
    env: Environment | None,
    source: Any,
    projection: str,
    metadata: Mapping[str, Any] | None,
    most: int,
    seed: int,
) -> tuple[Page, Observed, np.ndarray]:
    """Return a page, the states in it, and the indices of the actions in it."""
    clouds: dict[str, Cloud] = {}
    views: list[MapView] = []
    seen = _observed(embedding, env, most)
    if len(seen.ids):
        if embedding.states:
            vectors = embedding.phi(seen.observations)
        else:  # a one-hot, perhaps, in which all states are as far from each other
            vectors = seen.ids[:, None] if seen.places is None else seen.places
        clouds["states"] = Cloud("state", seen.ids, vectors, seen.columns, seen.images)
        views += _views_of_states(embedding, env, seen, vectors, projection)
    ids = np.zeros(0, int)
    actions, effects = _actions(embedding, env, source, metadata, most, seed)
    if actions is not None:
        ids = actions.ids
        clouds["actions"] = actions
        if effects is not None and effects.shape[1]:
            views.append(_view("A", "A: what actions do", "actions", effects, "a"))
        views.append(_view("E", "E: g(a)", "actions", actions.vectors, "e", projection))
    said = str(embedding.source.get("name", ""))
    page = Page(f"{embedding.method} on {said}", _notes(clouds, embedding), clouds, tuple(views))
    return page, seen, ids


def _notes(clouds: dict[str, Cloud], embedding: Embedding) -> tuple[str, ...]:
    parts = [
        f"{len(cloud.ids):,} {name} in {cloud.vectors.shape[1]} dimensions"
        for name, cloud in clouds.items()
    ]
    if not parts:
        raise EmbrlError(
            f"source must have states or actions to show, got {embedding.observation_space} and "
            f"{embedding.action_space} without transitions that were kept; fit it with embrl fit"
        )
    return ("; ".join(parts) + ".",)


def _observed(embedding: Embedding, env: Environment | None, most: int) -> Observed:
    """Return the states of a picture, all of a discrete space, or those held out, each once."""
    space, picture = embedding.observation_space, None if env is None else picture_of(env)
    images = None
    if picture is not None:
        observations = picture.observations
    elif isinstance(space, spaces.Discrete):
        observations = np.arange(space.n, dtype=np.int32)
    elif embedding.reference is not None:
        observations = np.asarray(embedding.reference.held_out.observation)
        flat = observations.reshape(len(observations), -1)
        observations = observations[np.sort(np.unique(flat, axis=0, return_index=True)[1])]
    else:
        observations = np.zeros((0, *(space.shape or ())))
    ids = spread(len(observations), min(most, MAX_IMAGES) if is_image(space) else most)
    observations = observations[ids]
    columns: dict[str, np.ndarray] = {}
    if picture is not None:
        columns |= {"place": picture.positions[ids], "reachable": picture.reachable[ids]}
    known = None if env is None else env.state_coordinates(jnp.asarray(observations))
    places = None if known is None else np.asarray(known)
    if places is not None and env is not None:
        columns |= _numbered("c", places, env.coordinate_names)
    if is_image(space):
        images = observations
    elif places is None and observations.ndim == 2:
        kind = "value" if is_discrete(space) else "o"
        columns |= _numbered(kind, observations, None)
    if places is None and not is_discrete(space):
        flat = observations.reshape(len(ids), -1) / (1 if images is None else 255)
        places = flat if flat.shape[1] <= MAX_PIXELS else None
    return Observed(ids, observations, columns, images, places)


def _views_of_states(
    embedding: Embedding,
    env: Environment | None,
    seen: Observed,
    vectors: np.ndarray,
    projection: str,
) -> list[MapView]:
    views = []
    if seen.places is not None:
        boxes: list[tuple[str, list[float]]] = []
        if isinstance(env, Square):
            boxes = [("obstacle", each) for each in np.asarray(env.obstacles).tolist()]
            boxes.append(("goal", np.asarray(env.goal).tolist()))
        view = _view("S", "S: states as they are", "states", seen.places, "s", boxes=boxes)
        named = None if env is None else env.coordinate_names
        if named is not None and len(named) == 2 == seen.places.shape[1]:
            view = dataclasses.replace(view, axes=tuple(named))
        views.append(view)
    if embedding.states:
        views.append(_view("X", "X: phi(s)", "states", vectors, "x", projection))
    return views


def _actions(
    embedding: Embedding,
    env: Environment | None,
    source: Any,
    metadata: Mapping[str, Any] | None,
    most: int,
    seed: int,
) -> tuple[Cloud | None, np.ndarray | None]:
    """Return the actions, and their effects; of continuous ones, those that were held out."""
    if embedding.table is None:
        if metadata is not None:
            raise EmbrlError(f"metadata must be of Discrete actions, got {embedding.action_space}")
        if embedding.reference is None:
            return None, None
        taken = np.asarray(embedding.reference.held_out.action)[:most]
        cloud = Cloud(
            "action", np.arange(len(taken)), embedding.g(taken), _numbered("a", taken, None)
        )
        return cloud, taken
    loaded = sources.actions(source, metadata=metadata, seed=seed)
    chosen = spread(len(loaded.ids), most)
    ids = loaded.ids[chosen]
    known = None if env is None else env.action_effects()
    effects = None if known is None else np.asarray(known)[ids]
    columns = {} if effects is None else _numbered("effect", effects, None)
    if effects is not None and isinstance(env, Square):
        columns = {"motion": (effects + 1) / 2, **columns}  # two colours, as places have
    columns |= {
        name: values[chosen]
        for name, values in loaded.metadata.items()
        if name not in ("run", "environment")
    }
    return Cloud("action", ids, loaded.vectors[chosen], columns), effects


def _view(
    key: str,
    title: str,
    cloud: str,
    values: np.ndarray,
    symbol: str,
    projection: str = "pca",
    boxes: Any = (),
) -> MapView:
    found: Plane
    found, linear = projected(values, symbol, projection)
    centre, axes = (found.centre, found.axes) if linear else (None, None)
    return MapView(key, title, cloud, found.points, found.names, centre, axes, tuple(boxes))


def _numbered(symbol: str, values: np.ndarray, names: Any) -> dict[str, np.ndarray]:
    values = values.reshape(len(values), -1)[:, :MAX_COLUMNS]
    called = names or [f"{symbol}_{at + 1}" for at in range(values.shape[1])]
    return dict(zip(called, values.T, strict=False))
