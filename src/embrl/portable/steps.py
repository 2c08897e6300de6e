"""A trained policy as plain steps: all that is needed to act, in NumPy alone.

An export ships this very file as `policy.py`, beside `policy.json` (the steps) and `weights.npz`
(their arrays), so it imports nothing but the standard library and NumPy 2 or later:

    from policy import act

    action = act(observation)         # of the most likely internal action
    action = act(observation, noise)  # drawn; "noise" in policy.json says what that takes
    action = act(observation, mask=mask)  # among the actions where mask, bool [n], is True

`policy.json` describes observations, actions and noise. Any number of leading axes is allowed, and
nothing is checked: `embrl.load_policy` does that.

A step is a frozen dataclass of arrays, plain values and other steps, and a function of arrays with
any leading axes. It is written once, with functions that array libraries share (`namespace`): embrl
runs the same code on tensors of PyTorch, and on symbols that write down an ONNX graph.
"""

import dataclasses
import functools
import json
import math
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

Values: TypeAlias = Any
"""An array of NumPy, or of a library in `NAMESPACES`."""

NUMPY = (np.ndarray, np.generic)
NAMESPACES: dict[type, Any] = {}
"""Functions of other libraries under NumPy's names, by the type of their arrays."""

AT_ONCE = 2**22
"""Intermediate numbers in memory at once, where many points are compared."""

FAR = 1e38
"""Squared distance beyond which points are equally far, but not as far as a masked one."""

FEW = 4096
"""Points up to which comparing all of them is faster than a tree (one query, 2 to 8 dimensions)."""


def namespace(values: Values) -> Any:
    """Return the library of functions for such an array; NumPy's by default."""
    if isinstance(values, NUMPY):
        return np
    return next((found for kind, found in NAMESPACES.items() if isinstance(values, kind)), np)


def take_rows(table: Values, index: Values) -> Values:
    """Return rows of a table by their index, `[..., *table.shape[1:]]`."""
    # Not `np.take`, which takes ten times as long for one row.
    if isinstance(index, NUMPY):
        return table[index]
    return namespace(index).take(table, index, axis=0)


class PortableStep(Protocol):
    """A function of arrays with any leading axes."""

    def __call__(self, values: Values, /) -> Values:
        """Return the next step's values."""
        ...


class Draw(Protocol):
    """A random step, a function of its noise: the same noise gives the same choice."""

    @property
    def normal(self) -> int:
        """Standard normal numbers that one choice takes."""
        ...

    @property
    def uniform(self) -> int:
        """Uniform numbers in [0, 1) that one choice takes."""
        ...

    def __call__(self, values: Values, noise: Values, /) -> Values:
        """Return the choice for noise, float32 `[..., normal + uniform]`."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """Steps one after another; without any, the identity."""

    steps: tuple[PortableStep, ...]

    def __call__(self, values: Values) -> Values:
        for step in self.steps:
            values = step(values)
        return values

    def then(self, *others: "Chain") -> "Chain":
        """Return this chain followed by others."""
        return Chain(self.steps + tuple(step for other in others for step in other.steps))


@dataclasses.dataclass(frozen=True, eq=False)
class Beside:
    """Several functions of the same values, concatenated."""

    parts: tuple[Chain, ...]

    def __call__(self, values: Values) -> Values:
        return namespace(values).concat([part(values) for part in self.parts], axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class Added:
    """The sum of several functions of the same values."""

    parts: tuple[Chain, ...]

    def __call__(self, values: Values) -> Values:
        return functools.reduce(operator.add, (part(values) for part in self.parts))


@dataclasses.dataclass(frozen=True, eq=False)
class Affine:
    """`x W + b`, with float32 W `[inputs, outputs]` and b `[outputs]`."""

    weight: Values
    bias: Values

    def __call__(self, values: Values) -> Values:
        return values @ self.weight + self.bias


@dataclasses.dataclass(frozen=True, eq=False)
class FactorRows:
    """An affine layer on the one-hots of discrete factors: rows are looked up and summed."""

    table: Values
    """float32 `[values of all factors, outputs]`."""
    bias: Values
    """float32 `[outputs]`."""
    offsets: Values
    """First row of each factor, int32 `[k]`."""

    def __call__(self, values: Values) -> Values:
        return take_rows(self.table, values + self.offsets).sum(-2) + self.bias


@dataclasses.dataclass(frozen=True, eq=False)
class Convolved:
    """A convolution of images `[..., h, w, c]`, and ReLU."""

    weight: Values
    """float32 `[side * side * inputs, outputs]`, row by row of the filter."""
    bias: Values
    """float32 `[outputs]`."""
    side: int
    stride: int
    residual: bool
    """True if ReLU comes before, the border is filled by zeros, and the input is added."""

    def __call__(self, values: Values) -> Values:
        xp = namespace(values)
        inside = self._bordered(xp.maximum(values, 0.0)) if self.residual else values
        spans = [
            (length - self.side) // self.stride * self.stride + 1 for length in inside.shape[-3:-1]
        ]
        parts = [
            inside[..., i : i + spans[0] : self.stride, j : j + spans[1] : self.stride, :]
            for i in range(self.side)
            for j in range(self.side)
        ]
        found = xp.concat(parts, axis=-1) @ self.weight + self.bias
        return values + found if self.residual else xp.maximum(found, 0.0)

    def _bordered(self, values: Values) -> Values:
        """Return images with a border of zeros, as wide as half a filter of three."""
        xp = namespace(values)
        row = xp.zeros_like(values[..., :1, :, :])
        values = xp.concat([row, values, row], axis=-3)
        column = xp.zeros_like(values[..., :1, :])
        return xp.concat([column, values, column], axis=-2)


@dataclasses.dataclass(frozen=True, eq=False)
class RingConvolved:
    """A convolution of readings around a circle `[..., n, c]`, and ReLU."""

    weight: Values
    """float32 `[width * inputs, outputs]`, reading by reading of the filter."""
    bias: Values
    """float32 `[outputs]`."""
    width: int
    stride: int

    def __call__(self, values: Values) -> Values:
        xp, half, length = namespace(values), self.width // 2, values.shape[-2]
        last, first = values[..., length - half :, :], values[..., :half, :]
        values = xp.concat([last, values, first], axis=-2)
        parts = [values[..., i : i + length : self.stride, :] for i in range(self.width)]
        return xp.maximum(xp.concat(parts, axis=-1) @ self.weight + self.bias, 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a table by their index: a function of few values."""

    table: Values
    """float32 `[n, outputs]`."""

    def __call__(self, values: Values) -> Values:
        return take_rows(self.table, values)


@dataclasses.dataclass(frozen=True, eq=False)
class PartRows:
    """Rows of a table by the index of each part, side by side, and the numbers that follow."""

    table: Values
    """Rows of the values of all parts, one part after another, `[values, d]`."""
    offsets: Values
    """Place of each part's first row, int32 `[k]`."""
    numbers: Chain | None
    """From the numbers to their embedding; None where there are none."""

    def __call__(self, values: Values) -> Values:
        xp, parts = namespace(values), self.offsets.shape[0]
        index = Cast("int64")(values[..., :parts]) + self.offsets
        found = take_rows(self.table, index)
        found = found.reshape((*values.shape[:-1], parts * self.table.shape[-1]))
        if self.numbers is None:
            return found
        return xp.concat([found, self.numbers(values[..., parts:])], axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class Tanh:
    """The hyperbolic tangent of every number."""

    def __call__(self, values: Values) -> Values:
        return namespace(values).tanh(values)


@dataclasses.dataclass(frozen=True, eq=False)
class Relu:
    """max(0, x) of every number."""

    def __call__(self, values: Values) -> Values:
        return namespace(values).maximum(values, 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Slice:
    """The numbers of the last axis from `begin` to `end`; None for all that follow."""

    begin: int
    end: int | None = None

    def __call__(self, values: Values) -> Values:
        return values[..., self.begin : self.end]


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """A last axis of length 1: a single factor among several."""

    def __call__(self, values: Values) -> Values:
        return values[..., None]


@dataclasses.dataclass(frozen=True, eq=False)
class MeanOne:
    """Values divided by the mean of their absolute values."""

    def __call__(self, values: Values) -> Values:
        xp = namespace(values)
        return values / xp.maximum(xp.abs(values).mean(-1, keepdims=True), 1e-8)


@dataclasses.dataclass(frozen=True, eq=False)
class MostLikely:
    """The index of the greatest value; the lowest among equals."""

    def __call__(self, values: Values) -> Values:
        return values.argmax(-1)


@dataclasses.dataclass(frozen=True, eq=False)
class Squashed:
    """x / (1 + |x|) of every number."""

    def __call__(self, values: Values) -> Values:
        return values / (1.0 + namespace(values).abs(values))


@dataclasses.dataclass(frozen=True, eq=False)
class Standardised:
    """Values in units of a width, counted from a centre."""

    centre: Values
    width: Values

    def __call__(self, values: Values) -> Values:
        return (values - self.centre) / self.width


@dataclasses.dataclass(frozen=True, eq=False)
class Unstandardised:
    """The inverse of `Standardised`."""

    centre: Values
    width: Values

    def __call__(self, values: Values) -> Values:
        return self.centre + self.width * values


@dataclasses.dataclass(frozen=True, eq=False)
class Clipped:
    """Values moved into bounds."""

    low: Values
    high: Values

    def __call__(self, values: Values) -> Values:
        return namespace(values).clip(values, self.low, self.high)


@dataclasses.dataclass(frozen=True, eq=False)
class Scaled:
    """A box for networks: coordinates with a finite range to [-1, 1], the others by other steps."""

    low: Values
    """float32 `[p]`; where the range is not finite, any number."""
    high: Values
    """float32 `[p]`, the same."""
    ranged: Values
    """True for coordinates with a finite range, bool `[p]`."""
    other: Chain | None
    """Steps for the others; None if there are none."""

    def __call__(self, values: Values) -> Values:
        xp = namespace(values)
        values = xp.asarray(values, dtype=self.low.dtype)
        # In this order, bounds far from 0 cost no precision.
        scaled = 2.0 * ((values - self.low) / (self.high - self.low)) - 1.0
        return scaled if self.other is None else xp.where(self.ranged, scaled, self.other(values))


@dataclasses.dataclass(frozen=True, eq=False)
class Original:
    """The inverse of `Scaled`."""

    low: Values
    high: Values
    ranged: Values
    other: Chain | None

    def __call__(self, values: Values) -> Values:
        original = self.low + 0.5 * (values + 1.0) * (self.high - self.low)
        if self.other is None:
            return original
        return namespace(values).where(self.ranged, original, self.other(values))


@dataclasses.dataclass(frozen=True, eq=False)
class Cast:
    """Values as another kind of number."""

    dtype: str
    """NumPy's name."""

    def __call__(self, values: Values) -> Values:
        xp = namespace(values)
        with np.errstate(over="ignore"):  # beyond float32 is infinite
            return xp.asarray(values, dtype=getattr(xp, self.dtype))


@dataclasses.dataclass(frozen=True, eq=False)
class Shifted:
    """Numbers counted from another start."""

    by: Values
    """int64 or float64, of the values' own axes."""

    def __call__(self, values: Values) -> Values:
        return values + self.by


@dataclasses.dataclass(frozen=True, eq=False)
class Reshaped:
    """The last axes in another shape."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def __call__(self, values: Values) -> Values:
        lead = values.shape[: values.ndim - len(self.before)]
        return values.reshape((*lead, *self.after))


@dataclasses.dataclass(frozen=True, eq=False)
class Digits:
    """A non-negative integer as digits, the most significant first."""

    strides: Values
    """Unit of each digit, int64 `[k]`."""
    sizes: Values
    """Number of values of each digit, int64 `[k]`."""

    @classmethod
    def of(cls, sizes: Any) -> "Digits":
        """Return the digits that have `sizes` values each."""
        found = np.asarray(sizes, np.int64)
        return cls(np.append(np.cumprod(found[:0:-1])[::-1], 1).astype(np.int64), found)

    def __call__(self, values: Values) -> Values:
        return values[..., None] // self.strides % self.sizes


@dataclasses.dataclass(frozen=True, eq=False)
class Rounded:
    """Values rounded to integers, halves to even ones."""

    def __call__(self, values: Values) -> Values:
        return namespace(values).round(values)


@dataclasses.dataclass(frozen=True, eq=False)
class Gaussian:
    """e ~ N(mu, diag(std^2)), with one std for each axis."""

    std: Values
    """float32 `[d]`."""
    bounded: bool
    """True if mu is the tanh of the values."""

    uniform = 0

    @property
    def normal(self) -> int:
        return len(self.std)

    def __call__(self, values: Values, noise: Values) -> Values:
        mean = namespace(values).tanh(values) if self.bounded else values
        return mean + self.std * noise


@dataclasses.dataclass(frozen=True, eq=False)
class SquashedGaussian:
    """e = tanh(z), z ~ N(mu, diag(std^2)); the values are mu and log std, concatenated."""

    count: int
    """Number of axes of e, d."""
    low: float
    """Lower bound of log std."""
    high: float
    """Upper bound of log std."""

    uniform = 0

    @property
    def normal(self) -> int:
        return self.count

    def __call__(self, values: Values, noise: Values) -> Values:
        xp = namespace(values)
        std = xp.exp(xp.clip(values[..., self.count :], self.low, self.high))
        return xp.tanh(values[..., : self.count] + std * noise)


@dataclasses.dataclass(frozen=True, eq=False)
class Categorical:
    """a ~ softmax(logits), by one uniform number."""

    count: int
    """Number of actions, n."""

    normal = 0
    uniform = 1

    def __call__(self, values: Values, noise: Values) -> Values:
        # As `categorical_sample` in JAX: block by block, as sums over many actions at once would
        # round otherwise. The blocks are filled up with impossible actions.
        xp, side = namespace(values), math.isqrt(self.count - 1) + 1
        weights = xp.exp(values - xp.amax(values, axis=-1, keepdims=True))
        filling = xp.zeros_like(weights[..., : side * side - self.count])
        blocks = xp.concat([weights, filling], axis=-1)
        blocks = blocks.reshape((*weights.shape[:-1], side, side))
        sums = blocks.sum(-1)
        block, left = _passed(sums, noise[..., 0] * sums.sum(-1))
        inside = xp.take_along_axis(blocks, block[..., None, None], -2)[..., 0, :]
        return block * side + _passed(inside, left)[0]


@dataclasses.dataclass(frozen=True, eq=False)
class ByDistance:
    """a ~ softmax(-||g(a) - e||^2 / temperature), by one uniform number."""

    columns: Values
    """Embeddings g(a) of the actions that may be drawn, transposed, float32 `[d, n]`."""
    inverse_temperature: float
    names: Values | None = None
    """Actions of the columns, int32 `[n]`, where others are excluded; None: their numbers."""

    normal = 0
    uniform = 1

    def __call__(self, values: Values, noise: Values, mask: Values | None = None) -> Values:
        """Return the choice among all of these actions, or where a mask is True.

        Args:
            values: float32 `[..., d]`.
            noise: a uniform number each, float32 `[..., 1]`.
            mask: bool `[..., highest name + 1]`.
        """
        if mask is not None and self.names is not None:
            mask = namespace(mask).take(mask, self.names, axis=-1)
        distance = masked(squared_distances(self.columns, values), mask)
        beyond = distance - namespace(values).amin(distance, axis=-1, keepdims=True)
        with np.errstate(over="ignore"):  # then the action is impossible, as it should be
            logits = beyond * -self.inverse_temperature
        chosen = Categorical(self.columns.shape[-1])(logits, noise)
        return chosen if self.names is None else take_rows(self.names, chosen)


@dataclasses.dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest of several points, by its name; the lowest index among equal points.

    NumPy looks among many points in SciPy's k-d tree, where that is installed. The tree computes in
    float64: where two points are equally far within float32 rounding, its choice may be the other.
    """

    columns: Values
    """The points, transposed, float32 `[d, n]`."""
    names: Values
    """What they are called, int32 `[n]`."""

    @classmethod
    def of(cls, table: np.ndarray, allowed: np.ndarray | None = None) -> "Nearest":
        """Return the search among the rows of a table, float32 `[n, d]`.

        Args:
            allowed: Rows that may be found, bool `[n]`; None for all.
        """
        names = np.arange(len(table)) if allowed is None else np.flatnonzero(allowed)
        return cls(np.ascontiguousarray(table[names].T), names.astype(np.int32))

    def __call__(self, values: Values, mask: Values | None = None) -> Values:
        """Return names, int32 `[...]`.

        Args:
            values: float32 `[..., d]`.
            mask: True for the names that may be found this time, bool `[..., highest name + 1]`.
        """
        if mask is not None:
            if isinstance(mask, NUMPY):
                return self._masked(np.asarray(values, np.float32), mask)
            if len(self.names) < mask.shape[-1]:
                mask = namespace(mask).take(mask, self.names, axis=-1)
            return take_rows(self.names, in_parts(self._compared, self._numbers, values, mask))
        if isinstance(values, NUMPY):
            if len(self.names) > FEW and self._tree is not None:
                return self._looked_up(values)
            if values.ndim == 1:  # the fast way for one point
                return self.names[self._compared(values)]
        return take_rows(self.names, in_parts(self._compared, self._numbers, values))

    @property
    def _numbers(self) -> int:
        return math.prod(self.columns.shape)

    def _compared(self, points: Values, mask: Values | None = None) -> Values:
        return masked(squared_distances(self.columns, points), mask).argmin(-1)

    def _masked(self, points: np.ndarray, mask: Any) -> np.ndarray:
        lead = np.broadcast_shapes(points.shape[:-1], mask.shape[:-1])
        points = np.broadcast_to(points, (*lead, points.shape[-1])).reshape(-1, points.shape[-1])
        masks = np.broadcast_to(mask, (*lead, mask.shape[-1]))[..., self.names]
        found = np.empty(len(points), np.int32)
        for row, allowed in enumerate(masks.reshape(len(points), len(self.names))):
            columns = self.columns[:, allowed]
            found[row] = self.names[allowed][squared_distances(columns, points[row]).argmin()]
        return found.reshape(lead)

    @functools.cached_property
    def _tree(self) -> Any:
        """A tree, and the first of each several equal points; None without SciPy."""
        try:
            from scipy.spatial import cKDTree  # type: ignore[attr-defined]
        except ImportError:
            return None
        first = np.sort(np.unique(self.columns, axis=1, return_index=True)[1])
        return cKDTree(self.columns[:, first].T), self.names[first]

    def _looked_up(self, points: Values) -> np.ndarray:
        tree, names = self._tree
        try:
            return names[tree.query(points)[1]]
        except ValueError:  # not finite, which is checked only now as that takes as long
            return names[tree.query(np.nan_to_num(points))[1]]


@dataclasses.dataclass(frozen=True, eq=False)
class NearestParts:
    """The nearest value of each part of an action, and the numbers that follow the parts."""

    points: Values
    """Embeddings of the values of each part, float32 `[d, k, widest]`; inf beyond its values."""
    places: Values
    """Places of these values in a mask, int32 `[k * widest]`."""
    exists: Values
    """Which of them are values of the part, bool `[k, widest]`."""
    numbers: Chain | None
    """From the rest of E to the numbers; None where there are none."""

    def __call__(self, values: Values, mask: Values | None = None) -> Values:
        """Return rows: int32 `[..., k]`, or float32 `[..., k + p]`.

        Args:
            values: float32 `[..., k * d + p]`.
            mask: True for values of parts that may be chosen, bool `[..., values of all parts]`.
        """
        xp, (d, parts, widest) = namespace(values), self.points.shape
        own = values[..., : parts * d].reshape((*values.shape[:-1], parts, d))
        distance: Any = 0.0
        for axis in range(d):
            apart = own[..., axis, None] - self.points[axis]
            distance = distance + apart * apart
        if mask is not None:
            flags = namespace(mask).take(mask, self.places, axis=-1)
            flags = flags.reshape((*mask.shape[:-1], parts, widest))
            distance = xp.where(self.exists, masked(distance, flags), np.inf)
        chosen = distance.argmin(-1)
        if self.numbers is None:
            return Cast("int32")(chosen)
        numbers = self.numbers(values[..., parts * d :])
        return xp.concat([Cast("float32")(chosen), numbers], axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class LikeliestParts:
    """The most likely value of each part, of logits, and the numbers that follow them."""

    places: Values
    """Places of the values of each part among the logits, int32 `[k * widest]`."""
    exists: Values
    """Which of them are values of the part, bool `[k, widest]`."""
    count: int
    """Number of values of all parts."""
    bounded: bool
    """True if the numbers are the tanh of what follows the logits."""

    def __call__(self, values: Values, mask: Values | None = None) -> Values:
        return self.joined(self.logits(values, mask).argmax(-1), values)

    def logits(self, values: Values, mask: Values | None = None) -> Values:
        """Return the logits of each part, `[..., k, widest]`; -inf beyond its values."""
        xp, shape = namespace(values), self.exists.shape
        flat = allowed(values[..., : self.count], mask)
        found = xp.take(flat, self.places, axis=-1).reshape((*values.shape[:-1], *shape))
        return xp.where(self.exists, found, -np.inf)

    def joined(self, chosen: Values, values: Values, noise: Values | None = None) -> Values:
        """Return rows of indices and numbers, noise added."""
        if values.shape[-1] == self.count:
            return chosen
        xp, numbers = namespace(values), values[..., self.count :]
        numbers = xp.tanh(numbers) if self.bounded else numbers
        whole = Cast("float32")(chosen)
        return xp.concat([whole, numbers if noise is None else numbers + noise], axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class CategoricalParts:
    """a_i ~ softmax(logits of part i), by a uniform number each; numbers ~ N(mu, diag(std^2))."""

    parts: LikeliestParts
    std: Values
    """Standard deviation of the numbers, float32 `[p]`."""

    @property
    def normal(self) -> int:
        return len(self.std)

    @property
    def uniform(self) -> int:
        return self.parts.exists.shape[0]

    def __call__(self, values: Values, noise: Values, mask: Values | None = None) -> Values:
        logits = self.parts.logits(values, mask)
        normal = noise[..., : self.normal]
        uniform = noise[..., self.normal :]
        chosen = Categorical(logits.shape[-1])(logits, uniform[..., None])
        return self.parts.joined(chosen, values, self.std * normal if self.normal else None)


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """The one of the k nearest points whose lower value of two critics is highest.

    Among equal values the nearest wins, then the lowest index (`embrl.decoding.Wolpertinger`).
    Where k is None all points are compared (`BestAction`).
    """

    table: Values
    """float32 `[n, d]`."""
    k: int | None
    below: tuple[Chain, Chain]
    """Both critics from features x to the first layer, `[..., h]`."""
    beside: Values
    """Weights of a point in the first layers, float32 `[2, d, h]`."""
    above: tuple[Chain, Chain]
    """Both critics from the first layer on, to values `[..., 1]`."""

    def __call__(
        self,
        x: Values,
        u: Values,
        observation: Values | None = None,
        mask: Values | None = None,
    ) -> Values:
        """Return indices of points, `[...]`, for features x `[..., m]` and points u `[..., d]`.

        A mask, bool `[..., n]`, is True for the points that may be chosen.
        """
        del observation
        n, width = self.table.shape[0], self.beside.shape[-1]
        given = () if mask is None else (mask,)
        return in_parts(self._chosen, max(n, min(self.k or n, n) * width), x, u, *given)

    def _chosen(self, x: Values, u: Values, mask: Values | None = None) -> Values:
        if self.k is None:
            return allowed(self.values(x, self.table), mask).argmax(-1)
        near = k_nearest(self.table, u, self.k, mask)
        return best_of(near, self.values(x, take_rows(self.table, near)), mask)

    def values(self, x: Values, e: Values) -> Values:
        """Return the value of each point e `[..., k, d]`, for features x `[..., m]`."""
        one, other = (
            above(below(x)[..., None, :] + e @ weights)[..., 0]
            for below, weights, above in zip(self.below, self.beside, self.above, strict=True)
        )
        return namespace(x).minimum(one, other)


@dataclasses.dataclass(frozen=True, eq=False)
class VisitRecall:
    """The successors of a state in remembered visits (`embrl.embedding.memory`)."""

    factors: Chain
    """From observations to the factors of states, int64 `[..., f]`."""
    strides: Values
    """Unit of each factor in the number of a state, int64 `[f]`."""
    named: int
    """Factor whose values the actions name."""
    states: Values
    """Numbers of the states that were visited, ascending, int64 `[N]`."""
    values: Values
    """Value of the named factor that followed each, int64 `[N]`."""
    weights: Values
    """Weight of each visit, float32 `[N]`."""
    chain: Values
    """Weight of all visits, by the named factor before and after, float32 `[n, n]`."""
    prior: float
    """Weight of a prediction, in visits."""
    k: int
    """Visits of a state that are looked up, at most."""

    def __call__(self, p: Values, factors: Values) -> Values:
        """Return probabilities `[..., n]` mixed with what followed states, int `[..., f]`."""
        xp = namespace(p)
        chain = take_rows(self.chain, factors[..., self.named])
        p = (self.prior * p + chain) / (self.prior + chain.sum(-1)[..., None])
        number = (factors * self.strides).sum(-1)
        first = xp.searchsorted(self.states, number)
        at = first[..., None] + xp.arange(self.k, device=first.device)
        at = xp.minimum(at, self.states.shape[0] - 1)
        apart = xp.abs(take_rows(self.states, at) - number[..., None])
        weight = xp.where(apart > 0, 0.0, take_rows(self.weights, at))
        counted = add_at(self.prior * p, take_rows(self.values, at), weight)
        return counted / (self.prior + weight.sum(-1)[..., None])


@dataclasses.dataclass(frozen=True, eq=False)
class Echoed:
    """The action that raises the mean outcome of the next step most, by naming a value of it.

    That is `embrl.embedding.transition.EchoTransition`: naming value c multiplies its probability
    by `1 + factor` and adds `delta`, before normalisation.
    """

    table: Values
    """float32 `[n, d]`."""
    k: int | None
    """Nearest points that are compared; None for all points."""
    logits: Chain
    """From features x to logits of the next value of the named factor, `[..., n]`."""
    outcome: Values
    """Outcome of each value, and of the steps after it, float32 `[n]`."""
    factor: float
    delta: float
    recall: VisitRecall | None
    """Remembered visits; None: the prediction alone counts."""

    def __call__(
        self, x: Values, u: Values, observation: Values, mask: Values | None = None
    ) -> Values:
        """Return indices of points, `[...]`, as `Scored`; observations are in embrl's form."""
        seen = () if self.recall is None else (self.recall.factors(observation),)
        given = () if mask is None else (mask,)
        return in_parts(self._chosen, 4 * self.table.shape[0], x, u, *seen, *given)

    def _chosen(self, x: Values, u: Values, *given: Values) -> Values:
        factors = None if self.recall is None else given[0]
        mask = given[-1] if len(given) > (self.recall is not None) else None
        xp, gain = namespace(x), self.gains(x, factors)
        if self.k is None:
            return allowed(gain, mask).argmax(-1)
        near = k_nearest(self.table, u, self.k, mask)
        return best_of(near, xp.take_along_axis(gain, near, -1), mask)

    def gains(self, x: Values, factors: Values | None) -> Values:
        """Return how much each action raises the mean outcome, `[..., n]`.

        Factors are those of the observations, where there is `recall`.
        """
        xp, logits = namespace(x), self.logits(x)
        p = xp.exp(logits - xp.amax(logits, axis=-1, keepdims=True))
        p = p / p.sum(-1)[..., None]
        if self.recall is not None:
            p = self.recall(p, factors)
        mean = (p * self.outcome).sum(-1)[..., None]
        boost = self.factor * p + self.delta
        return boost * (self.outcome - mean) / (1.0 + boost)


@dataclasses.dataclass(frozen=True, eq=False)
class PortablePolicy:
    """pi_o = f . pi_i . phi, from raw observations to the environment's own actions."""

    features: Chain
    """From observations to x."""
    actor: Chain
    """From x to the parameters of pi_i: a mean, or logits."""
    most_likely: Chain
    """From the parameters to the most likely internal action."""
    draw: Draw
    """From the parameters to a drawn internal action."""
    f: Chain
    """From internal actions to actions; the most likely ones where f is random."""
    f_draw: Draw | None
    """From internal actions to drawn actions; None where f is not random."""
    scored: Scored | Echoed | None
    """Instead of f where f asks a critic or the learned model; else None."""
    leave: Chain
    """From embrl's form of actions to the environment's."""

    @property
    def noise(self) -> tuple[str, ...]:
        """The noise of one action: `normal` or `uniform`, number by number; f's comes last."""
        draws = [draw for draw in (self.draw, self.f_draw) if draw is not None]
        return tuple(
            kind
            for draw in draws
            for kind in ("normal",) * draw.normal + ("uniform",) * draw.uniform
        )

    @property
    def part_sizes(self) -> tuple[int, ...] | None:
        """Numbers of values of the parts of an action; None where it has one part."""
        found = [step for step in self.f.steps if isinstance(step, NearestParts)]
        exists = found[0].exists if found else None
        if isinstance(self.draw, CategoricalParts):
            exists = self.draw.parts.exists
        return None if exists is None else tuple(int(count) for count in exists.sum(-1))

    @property
    def takes_mask(self) -> bool:
        """True if it can be told which actions it may choose."""
        if isinstance(self.draw, Categorical | CategoricalParts) or self.scored is not None:
            return True
        finds = any(isinstance(step, Nearest | NearestParts) for step in self.f.steps)
        return finds and (self.f_draw is None or isinstance(self.f_draw, ByDistance))

    def __call__(
        self, observation: Values, noise: Values | None = None, mask: Values | None = None
    ) -> Values:
        """Return actions of observations that are in the space.

        Args:
            observation: Any leading axes.
            noise: float32 `[..., len(self.noise)]`; None for the most likely internal action.
            mask: True for discrete actions that may be chosen, bool `[..., n]`, a flag for each
                combination, or, of a product, for each value of each part; at least one must be.
                None for all. See `takes_mask`.
        """
        x = self.features(observation)
        values = self.actor(x)
        if isinstance(self.draw, Categorical):
            values = allowed(values, mask)
        first = self.draw.normal + self.draw.uniform
        given = () if mask is None else (mask,)
        by_part = given if isinstance(self.draw, CategoricalParts) else ()
        if noise is None:
            u = values
            for step in self.most_likely.steps:
                u = step(u, *(by_part if isinstance(step, LikeliestParts) else ()))
        else:
            u = self.draw(values, noise[..., :first], *by_part)
        if self.scored is not None:
            action = self.scored(x, u, observation, *given)
        elif self.f_draw is None or noise is None:
            action = u
            for step in self.f.steps:
                finds = isinstance(step, Nearest | NearestParts)
                action = step(action, *given) if finds else step(action)
        else:
            action = self.f_draw(u, noise[..., first:], *given)
        return self.leave(action)


def squared_distances(columns: Values, points: Values) -> Values:
    """Return ||point - column||^2, `[..., n]`, of points `[..., d]` and columns `[d, n]`.

    Differences are squared as they are: the expanded form would cancel.
    """
    if points.ndim == 1:  # the fast way for one point
        apart = columns - points[:, None]
        return (apart * apart).sum(0)
    # One coordinate at a time: all at once would take d times the memory.
    total: Any = 0.0
    for axis in range(columns.shape[0]):
        apart = points[..., axis, None] - columns[axis]
        total = total + apart * apart
    return total


def allowed(scores: Values, mask: Values | None) -> Values:
    """Return scores `[..., n]`, -inf where a mask is False; None masks nothing."""
    return scores if mask is None else namespace(scores).where(mask, scores, -np.inf)


def masked(distance: Values, mask: Values | None) -> Values:
    """Return distances `[..., n]`, inf where a mask is False, and only there; None: nowhere."""
    if mask is None:
        return distance
    xp = namespace(distance)
    return xp.where(mask, xp.minimum(distance, FAR), np.inf)


def best_of(near: Values, scores: Values, mask: Values | None) -> Values:
    """Return which of the points `near` has the highest of the scores, both `[..., k]`."""
    xp = namespace(scores)
    valid = None if mask is None else xp.take_along_axis(mask, near, -1)
    best = allowed(scores, valid).argmax(-1)
    return xp.take_along_axis(near, best[..., None], -1)[..., 0]


def k_nearest(table: Values, points: Values, k: int, mask: Values | None = None) -> Values:
    """Return the indices of the k rows nearest to points, nearest first, `[..., k]`."""
    distance = masked(squared_distances(table.T, points), mask)
    return namespace(points).argsort(distance, axis=-1, stable=True)[..., :k]


def add_at(values: Values, index: Values, amounts: Values) -> Values:
    """Return values `[..., n]`, with amounts `[..., k]` added at indices `[..., k]`."""
    if not isinstance(values, NUMPY):
        return namespace(values).add_at(values, index, amounts)
    sums: Any = values
    rows = np.array(sums).reshape(-1, sums.shape[-1])
    which = np.arange(len(rows))[:, None]
    np.add.at(rows, (which, index.reshape(len(rows), -1)), amounts.reshape(len(rows), -1))
    return rows.reshape(sums.shape)


def in_parts(function: Callable[..., Values], numbers: int, *arrays: Values) -> Values:
    """Apply a function of rows `[..., k]` to some rows at a time, where each takes `numbers`."""
    lead, count = arrays[0].shape[:-1], max(1, AT_ONCE // numbers)
    if math.prod(lead) <= count:
        return function(*arrays)
    rows = [array.reshape((-1, array.shape[-1])) for array in arrays]
    starts = range(0, len(rows[0]), count)
    parts = [function(*(array[start : start + count] for array in rows)) for start in starts]
    return namespace(arrays[0]).concat(parts, axis=0).reshape(lead)


def _passed(weights: Values, target: Values) -> tuple[Values, Values]:
    """Return the first index whose running sum exceeds target, and what is left of target there."""
    xp, running = namespace(weights), weights.cumsum(-1)
    positions = xp.arange(weights.shape[-1], device=weights.device)
    # Rounding can leave target at the whole sum: then the last possible entry is chosen.
    last = xp.amax(xp.where(weights > 0, positions, 0), axis=-1)
    index = xp.minimum((running <= target[..., None]).sum(-1), last)
    before = xp.take_along_axis(running - weights, index[..., None], -1)[..., 0]
    return index, xp.maximum(target - before, 0.0)


KINDS: dict[str, Any] = {
    name: kind for name, kind in list(globals().items()) if dataclasses.is_dataclass(kind)
}
"""All kinds of steps, by the names that stand in policy.json."""


def from_json(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return what a value of policy.json describes: a step, an array, a tuple, or itself.

    Raises:
        ValueError: If it is not a step that is known here, or an array is missing.
    """
    match value:
        case {"array": str(name)}:
            if name not in arrays:
                raise ValueError(f"weights.npz has no {name}")
            return arrays[name]
        case {"step": name, **fields}:
            if name not in KINDS:
                raise ValueError(f"{name!r} is not a step that this version knows")
            kind = KINDS[name]
            # Older files lack fields that were added since, which have defaults.
            default = {field.name: field.default for field in dataclasses.fields(kind)}
            values = default | fields
            if len(values) > len(default) or dataclasses.MISSING in values.values():
                raise ValueError(f"{name} must have {', '.join(default)}")
            return kind(**{name: from_json(part, arrays) for name, part in values.items()})
        case list():
            return tuple(from_json(part, arrays) for part in value)
        case _:
            return value


@functools.cache
def _beside() -> tuple[PortablePolicy, str]:
    """Return the policy in this file's folder, and the kind of number of its observations."""
    manifest = json.loads(Path(__file__).with_name("policy.json").read_text())
    with np.load(Path(__file__).with_name("weights.npz")) as arrays:
        policy = from_json(manifest["policy"], dict(arrays))
    return policy, manifest["observation"]["dtype"]


def act(observation: Any, noise: Any = None, mask: Any = None) -> np.ndarray:
    """Return the actions of the policy that was exported into this file's folder."""
    policy, dtype = _beside()
    with np.errstate(over="ignore", invalid="ignore"):
        drawn = None if noise is None else np.asarray(noise, np.float32)
        only = None if mask is None else np.asarray(mask, bool)
        return np.asarray(policy(np.asarray(observation, dtype), drawn, only))
