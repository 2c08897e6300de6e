"""The two sides of a wrapper, in NumPy: an environment's observations to points of X, and points of
a `Box` by way of E to the environment's actions.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError
from embrl.deploy.forms import is_plain, leaving
from embrl.envs.host.actions import Actions
from embrl.envs.host.observations import Observations
from embrl.interop.matching import check_fits
from embrl.portable.layers import Rows, Tanh
from embrl.portable.nearest import Nearest

TABLED = 2**22
"""Numbers in a table of all actions, taken apart; where they are more, each is taken apart when it
is chosen."""

SAMPLES = 4096
"""Actions that are numbers, drawn to see where in E they lie."""

Vectors = tuple[np.ndarray, np.ndarray]
"""float32 `[d]` each: the least and the greatest."""


class StateSide:
    """phi in front of an environment's own observations."""

    def __init__(self, original: spaces.Space, embedding: Any, name: str, norm: bool) -> None:
        """
        Arguments:
            original: the environment's observations.
            embedding: an `embrl.Embedding`.
            name: the environment's, for messages.
            norm: whether X is centred, and scaled to a mean square of 1 on what it was fitted on.

        Raises:
            EmbrlError: embrl knows no such observations, or the embedding is of others.
        """
        from embrl.embedding.portable import phi_chain  # with it comes JAX, as the model is JAX's

        self._convert = Observations(original)
        check_fits(f"observations of {name}", self._convert.space, embedding.observation_space)
        self._phi = phi_chain(embedding.model.phi, embedding.norm if norm else None)
        low, high = self._range(embedding.m)
        self.space = spaces.Box(low, high, dtype=np.float32)
        plain = isinstance(original, spaces.Discrete)
        self._table = self._rows if plain else None
        self._start, self._states = (int(original.start), int(original.n)) if plain else (0, 0)

    def __call__(self, observation: Any) -> np.ndarray:
        """float32 `[m]`, or `[..., m]` where each part has leading axes."""
        if self._table is None:
            return self._phi(self._convert(observation))
        if isinstance(observation, int | np.integer):
            index = observation - self._start
            if 0 <= index < self._states:
                return self._table[index].copy()
        values = self._convert(np.asarray(observation))
        if fault := self._convert.fault(values.reshape(-1)):
            raise EmbrlError(f"there is {fault[1]}")
        return self._table[values]

    @property
    def _rows(self) -> np.ndarray | None:
        """Phi of every state, if it is looked up."""
        first = self._phi.steps[0]
        return first.table if isinstance(first, Rows) and len(self._phi.steps) == 1 else None

    def _range(self, m: int) -> Vectors:
        """Where X lies: between the images of -1 and 1, which tanh keeps to, or the table's."""
        if (table := self._rows) is not None:
            return table.min(0), table.max(0)
        corner, last = np.ones(m, np.float32), self._phi.steps[-1]
        return (-corner, corner) if isinstance(last, Tanh) else (last(-corner), last(corner))


class ActionSide:
    """f, and what it finds in the environment's own form, behind a `Box` from -1 to 1.

    Actions lie in a part of E that pre-training chose. The `Box` stands for that part, axis by
    axis, so that a policy which begins as wide as the `Box` begins with all of them.
    """

    def __init__(
        self, original: spaces.Space, embedding: Any, name: str, reach: Vectors | None = None
    ) -> None:
        """
        Arguments:
            reach: the part of E; None: where actions lie. To act by a policy that was trained with
                other actions, pass what `reach` was then.

        Raises:
            EmbrlError: embrl knows no such actions, or the embedding is of others.
        """
        from embrl.embedding.portable import f_chain

        self._convert = Actions(original)
        check_fits(f"actions of {name}", self._convert.space, embedding.action_space)
        model, table = embedding.model, embedding.table
        if table is None:
            self._f: Any = f_chain(model.g, model.f)
            self._last = self._convert.to_original
        else:
            self._f = Nearest(np.asarray(table), embedding.allowed)
            self._last = quick(self._convert)
        self.count = None if table is None else len(table)
        self.reach = reach or _reach(embedding, self._convert.space)
        low, high = self.reach
        self._centre, self._half = (low + high) / 2, (high - low) / 2
        self.space = spaces.Box(-1.0, 1.0, (embedding.d,), np.float32)

    def __call__(self, action: Any, mask: np.ndarray | None = None) -> Any:
        """The environment's own action, for `[d]` or `[..., d]` in the `Box`.

        Arguments:
            mask: bool `[..., n]` of discrete ones, True where one may be chosen.

        Raises:
            EmbrlError: the action has another length, or a mask allows nothing.
        """
        points = np.asarray(action, np.float32)
        if points.shape[-1:] != self._half.shape:
            raise EmbrlError(
                f"an action is {list(points.shape)}: it must be a point of E, "
                f"[..., {len(self._half)}]"
            )
        e = self._half * points + self._centre
        if mask is None or self.count is None:
            return self._last(self._f(e))
        return self._last(self._f(e, self._checked(mask)))

    def _checked(self, mask: Any) -> np.ndarray:
        mask = np.asarray(mask).astype(bool)
        if mask.shape[-1:] != (self.count,):
            raise EmbrlError(
                f"the environment's mask of actions is {list(mask.shape)}: it must end in "
                f"[{self.count}], a yes or no for each action"
            )
        allowed = mask if self._f.allowed is None else mask & self._f.allowed
        if not allowed.any(-1).all():
            raise EmbrlError("the environment's mask leaves no action that the embedding allows")
        return mask


def quick(actions: Actions) -> Callable[[Any], Any]:
    """`actions.to_original` for indices that are known to be in range, in a microsecond or two.

    **Returns** a function of int32 `[...]`.
    """
    if not (is_plain(actions.original) and isinstance(actions.space, spaces.Discrete)):
        return actions.to_original
    leave, size = leaving(actions.original), math.prod(actions.original.shape or ())
    if actions.space.n * size > TABLED:
        return leave
    table = leave(np.arange(actions.space.n))
    return lambda index: table[index].copy()


def _reach(embedding: Any, space: spaces.Space) -> Vectors:
    """Where in E actions lie."""
    one = np.ones(embedding.d, np.float32)
    if embedding.table is None:
        from embrl.embedding.portable import g_chain

        if not (isinstance(space, spaces.Box) and space.is_bounded()):
            return -one, one
        draws = np.random.default_rng(0).uniform(space.low, space.high, (SAMPLES, *space.shape))
        found = g_chain(embedding.model.g)(draws.astype(np.float32))
    else:
        found = np.asarray(embedding.table)
    low, high = found.min(0), found.max(0)
    # An axis that nothing lies along.
    return np.where(high > low, low, -one), np.where(high > low, high, one)
