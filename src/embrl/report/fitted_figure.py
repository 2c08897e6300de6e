"""The picture of an embedding that stands alone."""

from pathlib import Path
from typing import Any

import cattrs
import jax.numpy as jnp
import numpy as np

from embrl.core.errors import EmbrlError
from embrl.core.spaces import is_continuous
from embrl.embedding import saved as fitted
from embrl.embedding.encoders import StateEncoder
from embrl.embedding.saved import SavedEmbedding
from embrl.envs import ENVIRONMENTS, Environment
from embrl.report.embedding_figure import plot_actions, plot_embedding
from embrl.report.environment_pictures import picture_of

MOST = 20_000
"""Actions that are drawn: of more, some."""


def draw_fitted(path: str | Path) -> Path:
    """Draws the embedding in a folder into its `figures/embedding.png`, whose path it returns.

    Raises:
        EmbrlError: there is none, a file is damaged, or nothing that could be drawn was kept.
    """
    found = fitted.read(path)
    env = _environment(found)
    target = Path(path) / "figures" / "embedding.png"
    target.parent.mkdir(exist_ok=True)
    title = f"{found.method} on {found.source.get('name')}"
    g = _actions(found, env)
    if not isinstance(found.model.phi, StateEncoder):
        plot_actions(target, environment=env, g=g, title=title)
        return target
    phi, visited = _states(found, env)
    plot_embedding(target, environment=env, phi=phi, g=g, visited=visited, title=title)
    return target


def _environment(found: SavedEmbedding) -> Environment | None:
    """Where it was fitted in one of ours, that one: it has a picture to go with."""
    source = found.source
    name = str(source.get("name"))
    if source.get("kind") != "environment" or name not in ENVIRONMENTS:
        return None
    try:
        settings: Any = cattrs.structure(source.get("env"), ENVIRONMENTS[name])
        env = settings.build()
    except Exception:  # of another version, or its data are elsewhere: a picture less
        return None
    same = (env.observation_space, env.action_space) == (
        found.observation_space,
        found.action_space,
    )
    return env if same else None


def _actions(found: SavedEmbedding, env: Environment | None) -> np.ndarray:
    table: Any = found.model.g.table
    if table is not None:
        g = np.asarray(table)
        known = env is not None and env.action_effects() is not None
        return g if known else g[:: -(-len(g) // MOST)]
    return np.asarray(found.model.g(jnp.asarray(_sample(found).action)))


def _states(found: SavedEmbedding, env: Environment | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Points of X, and which of them the data met."""
    phi: Any = found.model.phi
    picture = None if env is None else picture_of(env)
    if is_continuous(found.observation_space):
        shown = _sample(found).observation if picture is None else picture.observations
        return np.asarray(phi(jnp.asarray(shown))), None
    points = np.asarray(phi.points[-1])
    if len(phi.points) > 1 or found.reference is None:
        return points, None
    bits = np.asarray(found.reference.seen.bits)
    met = np.unpackbits(bits.astype("<u4").view(np.uint8), bitorder="little")
    return points, met[: len(points)].astype(bool) if len(met) >= len(points) else None


def _sample(found: SavedEmbedding) -> Any:
    if found.reference is None:
        raise EmbrlError("nothing to draw: the run that this embedding is of kept no transitions")
    return found.reference.held_out
