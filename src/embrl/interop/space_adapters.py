"""Adapters, in NumPy, from an environment's spaces to an embedding's.

`StateAdapter` maps observations to points of X; `ActionAdapter` maps points of a `Box`, by way of
E, to the environment's actions.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError, WarnOnce
from embrl.core.products import Product, check_parts_allowed, product_of
from embrl.core.spaces import array_of, difference
from embrl.deploy.array_forms import is_plain, leaving
from embrl.deploy.plain_embedding import PlainEmbedding
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.flat_observations import Observations
from embrl.portable.steps import Nearest, Rows, Tanh

MAX_TABLE = 2**22
"""Largest table, in numbers, of all actions in the environment's form; beyond it, each action is
converted when it is chosen."""

SAMPLES = 4096
"""Number of continuous actions drawn to find out which part of E they cover."""

Vectors = tuple[np.ndarray, np.ndarray]
"""Lowest and highest point of a box, float32 `[d]` each."""


class Coupling(NamedTuple):
    """Constraint on the parts of an action in one state of an environment."""

    is_feasible: Callable[[Any], Any]
    """Says whether one of the environment's own actions is feasible."""
    use: Any
    """What each value of each part uses of what is scarce, `[values]`; None: not known."""
    candidates: int
    """Nearest actions that are looked at."""


class StateAdapter:
    """The state encoder phi, applied to an environment's own observations."""

    def __init__(
        self,
        original: spaces.Space,
        embedding: PlainEmbedding,
        name: str,
        norm: bool,
        mask: tuple[Any, ...] | None = None,
    ) -> None:
        """Build the adapter.

        Args:
            original: The environment's observation space.
            embedding: The embedding.
            name: Name of the environment, for messages.
            norm: True to centre X and scale it to a mean square of 1 on the data of pre-training.
            mask: Keys that lead to an action mask in the observations; it is left out, unless the
                embedding has seen it.

        Raises:
            EmbrlError: If embrl does not support such observations, or the embedding has others.
        """
        self._name = name
        whole, needed = Observations(original), embedding.observation_space
        self._convert = whole if mask is None else Observations(original, mask)
        if not _fits(self._convert.space, needed) and _fits(whole.space, needed):
            self._convert = whole
        check_fits(f"observations of {name}", self._convert.space, needed)
        self._phi = embedding.phi_chain(norm)
        low, high = self._range(embedding.m)
        self.space = spaces.Box(low, high, dtype=np.float32)
        plain = isinstance(original, spaces.Discrete)
        self._table = self._rows if plain else None
        self._start, self._states = (int(original.start), int(original.n)) if plain else (0, 0)

    def __call__(self, observation: Any) -> np.ndarray:
        """Embed observations, with any leading axes in each part; float32 `[..., m]`."""
        if self._table is None:
            values = self._convert(observation)
            rows = values.reshape(-1, *self._convert.shape)
            self._convert.check(rows, lambda _: self._name, "")
            return self._phi(values)
        if isinstance(observation, int | np.integer):
            index = observation - self._start
            if 0 <= index < self._states:
                return self._table[index].copy()
        values = self._convert(observation)
        self._convert.check(values.reshape(-1), lambda _: self._name, "outside its space")
        return self._table[values]

    @property
    def _rows(self) -> np.ndarray | None:
        """Embedding of every state, if phi looks it up in a table."""
        first = self._phi.steps[0]
        return first.table if isinstance(first, Rows) and len(self._phi.steps) == 1 else None

    def _range(self, m: int) -> Vectors:
        """Return bounds of X: those of the table, or the images of the bounds of tanh."""
        if (table := self._rows) is not None:
            return table.min(0), table.max(0)
        corner, last = np.ones(m, np.float32), self._phi.steps[-1]
        return (-corner, corner) if isinstance(last, Tanh) else (last(-corner), last(corner))


class ActionAdapter:
    """The action decoder f, from a `Box` of -1 to 1 to an environment's own actions.

    Actions lie in a part of E that pre-training chose. The `Box` stands for that part, axis by
    axis, so that a policy that begins as wide as the `Box` begins with all of them.
    """

    def __init__(
        self,
        original: spaces.Space,
        embedding: PlainEmbedding,
        name: str,
        reach: Vectors | None = None,
    ) -> None:
        """Build the adapter.

        Args:
            original: The environment's action space.
            embedding: The embedding.
            name: Name of the environment, for messages.
            reach: The part of E that the `Box` stands for; None: where actions lie. For a policy
                trained with other actions, pass the value of `reach` at that time.

        Raises:
            EmbrlError: If embrl does not support such actions, or the embedding has others.
        """
        self._name, self._warn = name, WarnOnce()
        self._convert = Actions.fitting(original, embedding.action_space)
        check_fits(f"actions of {name}", self._convert.space, embedding.action_space)
        table = embedding.table
        self._product = product_of(embedding.action_space)
        if table is None:
            assert embedding.f is not None
            self._f: Any = embedding.f if self._product is None else embedding.f.steps[0]
            self._finish = self._convert.to_original
        else:
            self._f = Nearest.of(table, embedding.allowed)
            self._finish = fast_to_original(self._convert)
        self.count = None if table is None else len(table)
        """Number of flags of a mask: of actions, or of the values of all parts; None if actions
        are continuous."""
        if self._product is not None:
            self.count = self._product.values
        self.reach = _reach(embedding, self._convert.space) if reach is None else _box(reach)
        low, high = self.reach
        self._centre, self._half = (low + high) / 2, (high - low) / 2
        self.space = spaces.Box(-1.0, 1.0, (embedding.d,), np.float32)

    @property
    def converter(self) -> Actions:
        """Converter of the environment's actions to the embedding's."""
        return self._convert

    def __call__(
        self, action: Any, mask: np.ndarray | None = None, coupling: Coupling | None = None
    ) -> Any:
        """Return the environment's own action for a point of the `Box`.

        Args:
            action: Points, `[d]` or `[..., d]`.
            mask: bool `[..., n]` for discrete actions, True where one may be chosen.
            coupling: What couples the parts of the action, for one point; None: nothing.

        Raises:
            EmbrlError: If the points have another length, or a mask allows no action.
        """
        points = array_of(action, "action")
        if points.dtype.kind not in "iufb":
            raise EmbrlError(f"action must be numbers, got {points.dtype}")
        points = points.astype(np.float32)
        if points.shape[-1:] != self._half.shape:
            raise EmbrlError(
                f"action must be a point of E, [..., {len(self._half)}], got shape "
                f"{list(points.shape)}"
            )
        e = self._half * points + self._centre
        mask = None if mask is None or self.count is None else self._checked(mask)
        if coupling is not None and self._product is not None:
            return self._nearest_feasible(e, mask, coupling)
        return self._finish(self._f(e) if mask is None else self._f(e, mask))

    def _nearest_feasible(self, e: np.ndarray, mask: np.ndarray | None, coupling: Coupling) -> Any:
        """Return the environment's own feasible action nearest to a point of E.

        Where none is found it is the nearest action, with one warning.
        """
        from embrl.decoding.joint import nearest_joint  # imports JAX

        product, row = self._product, self._f(e) if mask is None else self._f(e, mask)
        assert product is not None
        parts, numbers = len(product.sizes), row[len(product.sizes) :]
        own = e[: len(e) - product.numbers].reshape(parts, -1)
        apart = ((own.T[..., None] - self._f.points) ** 2).sum(0)
        if mask is not None:
            apart = np.where(product.by_part(mask), apart, np.inf)
        ends = product.offsets[1:]
        distances = np.split(apart[product.exists], ends)
        use = None if coupling.use is None else np.split(np.asarray(coupling.use), ends)

        def allowed(indices: np.ndarray) -> bool:
            return bool(coupling.is_feasible(self._finish(product.joined(indices, numbers))))

        try:
            found, _ = nearest_joint(distances, 1, allowed, coupling.candidates, use)
        except EmbrlError:
            found = np.zeros((0, parts), np.int32)
        if len(found):
            row = product.joined(found[0], numbers)
        else:
            self._warn(
                "is_feasible",
                f"{self._name}: is_feasible of none of the {coupling.candidates} actions nearest "
                "to a point; the nearest is taken, which the environment has to deal with",
            )
        return self._finish(row)

    def _checked(self, mask: Any) -> np.ndarray:
        mask = np.asarray(mask).astype(bool)
        if mask.shape[-1:] != (self.count,):
            raise EmbrlError(
                f"the environment's action mask must end in [{self.count}], a flag for each "
                f"action, got shape {list(mask.shape)}"
            )
        if self._product is not None:
            return check_parts_allowed(self._product, mask, "the environment's action mask")
        if not mask[..., self._f.names].any(-1).all():
            raise EmbrlError(
                "the environment's action mask must leave an action that the embedding allows, got "
                "none"
            )
        return mask


def check_fits(what: str, has: spaces.Space, needs: spaces.Space) -> None:
    """Check that an embedding fits an environment, given spaces in embrl's flat form.

    A `Box` may be narrower than the one the embedding was fitted on, as it is scaled just the same;
    an embedding of data without bounds, for example, fits any.

    Args:
        what: The observations or actions of which environment, for the message.
        has: The environment's space.
        needs: The embedding's space.

    Raises:
        EmbrlError: If they differ; the message names the dimension and both values.
    """
    if not _fits(has, needs):
        raise EmbrlError(f"{what} do not fit the embedding: {difference(has, needs)}")


def fast_to_original(actions: Actions) -> Callable[[Any], Any]:
    """Return a fast `actions.to_original` for indices known to be in range.

    Returns:
        A function of int32 `[...]` that takes a microsecond or two.
    """
    if not (is_plain(actions.original) and isinstance(actions.space, spaces.Discrete)):
        return actions.to_original
    leave, size = leaving(actions.original), math.prod(actions.original.shape or ())
    if actions.space.n * size > MAX_TABLE:
        return leave
    return _LookedUp(leave(np.arange(actions.space.n)))


class _LookedUp:
    """Copies of rows of a table; a class, as a function in a function cannot be pickled."""

    def __init__(self, table: np.ndarray) -> None:
        self._table = table

    def __call__(self, index: Any) -> Any:
        return self._table[index].copy()


def _box(reach: Any) -> Vectors:
    low, high = (np.asarray(end, np.float32) for end in reach)
    return low, high


def _reach(embedding: PlainEmbedding, space: spaces.Space) -> Vectors:
    """Return the bounds of the part of E in which actions lie."""
    one = np.ones(embedding.d, np.float32)
    if embedding.table is None:
        if (product := product_of(space)) is not None:
            return _reach_of_parts(embedding, product)
        if not (isinstance(space, spaces.Box) and space.is_bounded()):
            return -one, one
        draws = np.random.default_rng(0).uniform(space.low, space.high, (SAMPLES, *space.shape))
        found = embedding.g(draws.astype(np.float32))
    else:
        found = embedding.table
    low, high = found.min(0), found.max(0)
    # No action lies along an axis of width 0; -1 to 1 keeps it usable.
    return np.where(high > low, low, -one), np.where(high > low, high, one)


def _reach_of_parts(embedding: PlainEmbedding, product: Product) -> Vectors:
    """Return the bounds of the part of E in which the values of each part lie."""
    values = np.arange(product.widest)[:, None] % np.asarray(product.sizes)
    numbers = np.zeros((product.widest, product.numbers), np.float32)
    found = embedding.g(product.joined(values.astype(np.int32), numbers))
    low, high, one = found.min(0), found.max(0), np.ones(embedding.d, np.float32)
    # Numbers are their own embedding, -1 to 1.
    own = np.arange(embedding.d) < embedding.d - product.numbers
    wide = own & (high > low)
    return np.where(wide, low, -one), np.where(wide, high, one)


def _fits(has: spaces.Space, needs: spaces.Space) -> bool:
    return _within(has, needs) or difference(has, needs) is None


def _within(has: spaces.Space, needs: spaces.Space) -> bool:
    if not (isinstance(has, spaces.Box) and isinstance(needs, spaces.Box)):
        return False
    if has.shape != needs.shape:
        return False
    return bool(np.all((needs.low <= has.low) & (has.high <= needs.high)))
