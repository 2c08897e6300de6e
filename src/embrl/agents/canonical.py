"""Canonical form of agents that differ only in the numbering of their hidden units.

Hidden units can be permuted and, for tanh, a unit's ingoing and outgoing weights negated together
(tanh is odd): the agent stays the same function. `canonical` undoes both. Numbers are only moved
and negated, never added, so copies come out bit-identical; -0.0 becomes 0.0. Everything here is
NumPy on the host.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from embrl.agents.architecture import Architecture, Layer
from embrl.core.errors import EmbrlError

CHUNK = 2048
"""Agents sorted at a time, which bounds the memory."""
SWEEPS = 20
"""Maximum number of sweeps of `aligned`; a few are enough."""

Weights = Float[np.ndarray, "*batch size"]


def canonical(architecture: Architecture, w: Weights) -> Weights:
    """Return agents with their hidden units in canonical order and with canonical signs.

    Layer by layer, a unit's sign makes the first nonzero of (bias, ingoing weights) positive, and
    units are sorted by these numbers, which the preceding, already sorted layer determines. Where
    two units have all of them in common, or only zeros (agents made by training never do), the
    whole agent decides; see `_resolve`, which also names the ties it cannot break.

    Args:
        architecture: architecture of the agents.
        w: weights `[*batch, size]`; every agent is treated on its own.

    Raises:
        EmbrlError: `w` has another number of weights, or weights that are not finite.
    """
    flat = _checked(architecture, w)
    parts = [_sorted(architecture, flat[at : at + CHUNK]) for at in range(0, len(flat), CHUNK)]
    return _joined(parts, w)


def aligned(
    architecture: Architecture, w: Weights, reference: Float[np.ndarray, " size"]
) -> Weights:
    """Return agents with hidden units numbered and signed to match those of a reference.

    Vectors of different lineages then become comparable number by number. Minimizes the squared
    distance between the two vectors by linear assignments in each layer in turn until none improves
    it (Ainsworth et al. 2023, "Git Re-Basin", algorithm 1). Starts from the canonical form of both,
    so it is as exactly invariant as `canonical`, also to the numbering of the reference's units.

    Args:
        architecture: architecture of the agents.
        w: weights `[*batch, size]`.
        reference: weights `[size]` of one agent.

    Raises:
        EmbrlError: `w` has another number of weights, or weights that are not finite.
    """
    if np.ndim(reference) != 1:
        raise EmbrlError(f"reference must be one agent [size], got {list(np.shape(reference))}")
    goal = [
        (np.asarray(weight, np.float64), np.asarray(bias, np.float64))
        for weight, bias in architecture.layers(canonical(architecture, reference))
    ]
    flat = canonical(architecture, w).reshape(-1, architecture.size)
    return _joined([_matched(architecture, one, goal)[None] for one in flat], w)


def permuted(architecture: Architecture, w: Weights, rng: np.random.Generator) -> Weights:
    """Return agents with randomly permuted hidden units and, for tanh, random signs.

    Each agent gets its own permutation; the function it computes stays the same.
    """
    flat = _checked(architecture, w)
    layers = list(architecture.layers(flat))
    for number, width in enumerate(architecture.hidden):
        order = rng.permuted(np.tile(np.arange(width), (len(flat), 1)), axis=-1)
        flip = rng.random(order.shape) < 0.5 if _odd(architecture) else np.zeros_like(order, bool)
        _arrange(layers, number, order, flip)
    return architecture.flat(layers).reshape(np.shape(w))  # type: ignore[return-value]


def _odd(architecture: Architecture) -> bool:
    return architecture.activation == "tanh"


def _checked(architecture: Architecture, w: Weights) -> Float[np.ndarray, "N size"]:
    w = np.asarray(w)
    if w.shape[-1:] != (architecture.size,):
        architecture.layers(w)  # says so
    flat = w.reshape(-1, architecture.size)
    finite = np.isfinite(flat).all(-1)
    if not finite.all():
        raise EmbrlError(f"agent {int(np.argmin(finite))} has weights that are not finite numbers")
    return flat


def _joined(parts: list[np.ndarray], like: Weights) -> Weights:
    like = np.asarray(like)
    return np.concatenate([np.empty((0, like.shape[-1]), like.dtype), *parts]).reshape(like.shape)


def _arrange(
    layers: list[Layer],
    number: int,
    order: Int[np.ndarray, "N units"],
    flip: np.ndarray,
) -> None:
    """Reorder hidden layer `number` by `order`, negating units where `flip` (in the new order)."""
    (weight, bias), (after, after_bias) = layers[number : number + 2]
    column, row = order[:, None, :], order[:, :, None]
    weight = np.take_along_axis(np.asarray(weight), column, -1)
    bias = np.take_along_axis(np.asarray(bias), order, -1)
    after = np.take_along_axis(np.asarray(after), row, -2)
    layers[number] = Layer(
        np.where(flip[:, None, :], -weight, weight),  # type: ignore[arg-type]
        np.where(flip, -bias, bias),  # type: ignore[arg-type]
    )
    layers[number + 1] = Layer(np.where(flip[:, :, None], -after, after), after_bias)  # type: ignore[arg-type]


def _sorted(architecture: Architecture, w: Float[np.ndarray, "N size"]) -> np.ndarray:
    """Canonical form of as many agents as fit into memory."""
    layers = list(architecture.layers(w))
    tied = np.zeros(len(w), bool)
    for number in range(len(architecture.hidden)):
        weight, bias = map(np.asarray, layers[number])
        ingoing = np.concatenate((bias[:, None, :], weight), axis=1)
        flip = np.zeros(bias.shape, bool)
        if _odd(architecture):
            first = np.argmax(ingoing != 0, axis=1)[:, None, :]
            leading = np.take_along_axis(ingoing, first, 1)[:, 0]
            flip = leading < 0
            tied |= (leading == 0).any(-1)
            ingoing = np.where(flip[:, None, :], -ingoing, ingoing)
        order = np.lexsort(np.moveaxis(ingoing, 1, 0)[::-1], axis=-1)
        layer_order = np.take_along_axis(ingoing, order[:, None, :], -1)
        tied |= (layer_order[..., 1:] == layer_order[..., :-1]).all(1).any(-1)
        _arrange(layers, number, order, np.take_along_axis(flip, order, -1))
    found = np.array(architecture.flat(layers))
    for agent in np.flatnonzero(tied):
        found[agent] = _resolve(architecture, w[agent] + 0.0)
    return found + 0.0  # -0.0 + 0.0 is 0.0


# Agents with ties. A *literal* is a hidden unit with a sign: for tanh every unit has two, the
# second with all weights negated, and choosing an order and signs means choosing an order of
# literals. A colour is a number for each literal of a layer; literals of different colours differ
# in something that no renumbering changes, and their colours are ordered by it.

Colours = list[Int[np.ndarray, " literals"]]


class _Network:
    """One agent as a graph of literals."""

    def __init__(self, architecture: Architecture, w: Float[np.ndarray, " size"]) -> None:
        self.odd = _odd(architecture)
        self.values = np.unique(np.concatenate((w, -w) if self.odd else (w,)) + 0.0)
        layers, last = architecture.layers(w), len(architecture.hidden)
        self.ranks = [
            self._rank(np.asarray(weight), rows=number > 0, columns=number < last)
            for number, (weight, _) in enumerate(layers)
        ]
        """Rank of each weight among the agent's, between the literals of two layers."""
        biases = [self._rank(np.asarray(bias), columns=True) for _, bias in layers[:-1]]
        # Observations and actions have their order.
        self.start = [np.arange(architecture.inputs), *biases, np.arange(architecture.outputs)]

    def _rank(self, x: np.ndarray, *, rows: bool = False, columns: bool = False) -> np.ndarray:
        if self.odd and columns:
            x = np.concatenate((x, -x), axis=-1)
        if self.odd and rows:
            x = np.concatenate((x, -x), axis=0)
        return np.searchsorted(self.values, x + 0.0)

    def refined(self, colours: Colours) -> tuple[Colours, bytes]:
        """Refine colours until they separate no more literals.

        Literals get different colours if their neighbours have other colours or other weights.

        Returns:
            The colours, and a summary that is invariant to the numbering.
        """
        colours, count = list(colours), 0
        while True:
            rows = []
            for layer in range(1, len(colours) - 1):
                ingoing = colours[layer - 1][:, None] * len(self.values) + self.ranks[layer - 1]
                outgoing = colours[layer + 1][None] * len(self.values) + self.ranks[layer]
                seen = (np.sort(ingoing, axis=0).T, np.sort(outgoing, axis=1))
                key = np.concatenate((colours[layer][:, None], *seen), axis=1)
                kinds, colour, many = np.unique(
                    key, axis=0, return_inverse=True, return_counts=True
                )
                colours[layer] = colour.reshape(-1)
                rows += [kinds, many]
            before, count = count, sum(int(colour.max()) for colour in colours)
            if count == before:  # now that colours are numbered without gaps, at least once
                break
        return colours, b"".join(part.astype(">i8").tobytes() for part in rows)

    def apart(self, colours: Colours, layer: int, literal: int) -> Colours:
        """Return the colours with one literal moved above the others of its colour."""
        colour = colours[layer] * 3
        colour[literal] += 1
        if self.odd:
            colour[(literal + len(colour) // 2) % len(colour)] -= 1
        return [*colours[:layer], colour, *colours[layer + 1 :]]

    def undecided(self, colours: Colours) -> Iterator[tuple[int, np.ndarray]]:
        """Yield groups of literals of one colour whose choice matters, with their layer.

        Of literals that agree in every weight, one stands for all.
        """
        for layer in range(1, len(colours) - 1):
            weights = np.concatenate((self.ranks[layer - 1].T, self.ranks[layer]), axis=1)
            for colour in np.flatnonzero(np.bincount(colours[layer]) > 1):
                literals = np.flatnonzero(colours[layer] == colour)
                _, first = np.unique(weights[literals], axis=0, return_index=True)
                if len(first) > 1:
                    yield layer, literals[np.sort(first)]


def _resolve(architecture: Architecture, w: Float[np.ndarray, " size"]) -> np.ndarray:
    """Canonical form of an agent with units that their ingoing weights do not separate.

    Colour refinement: units are separated by their bias and by the multiset of weights to and from
    the units of each colour, repeatedly. Where some remain equal, each in turn is separated and the
    rest refined again; the smallest outcome is kept, or any of them if outcomes are equal, as they
    are where a symmetry of the agent swaps them.

    Not decided, so that permuted copies may differ: agents with units that are equal in all of this
    and yet not symmetric. That takes layers that are tied throughout in a pattern like a strongly
    regular graph's, sixteen units or more with hardly two different weights.
    """
    network = _Network(architecture, w)
    colours, _ = network.refined(network.start)
    while (found := next(network.undecided(colours), None)) is not None:
        layer, literals = found
        tries = (network.refined(network.apart(colours, layer, one)) for one in literals)
        colours, _ = min(tries, key=lambda outcome: outcome[1])
    layers = [Layer(weight[None], bias[None]) for weight, bias in architecture.layers(w)]
    for number, width in enumerate(architecture.hidden):
        colour = colours[number + 1].reshape(-1, width)
        flip = colour[-1] > colour[0]  # the same one where there are no signs
        order = np.argsort(colour.max(0), kind="stable")
        _arrange(layers, number, order[None], flip[order][None])
    return np.asarray(architecture.flat(layers))[0]


def _matched(
    architecture: Architecture,
    w: Float[np.ndarray, " size"],
    goal: list[tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Return one agent with its hidden units matched to those of `goal`."""
    layers = [Layer(weight[None], bias[None]) for weight, bias in architecture.layers(w)]
    last = len(architecture.hidden) - 1
    for sweep in range(SWEEPS):
        moved = False
        for number, width in enumerate(architecture.hidden):
            weight, bias = (np.asarray(part[0], np.float64) for part in layers[number])
            like = weight.T @ goal[number][0] + np.outer(bias, goal[number][1])
            if sweep or number == last:  # in the first sweep the next layer has no order yet
                after = np.asarray(layers[number + 1].weight[0], np.float64)
                like = like + after @ goal[number + 1][0].T
            # The greater the match, the smaller the remaining distance between the two vectors.
            gain = np.abs(like) if _odd(architecture) else like
            order = linear_sum_assignment(gain.T, maximize=True)[1]
            chosen = np.arange(width)
            if gain[order, chosen].sum() <= gain[chosen, chosen].sum():
                order = chosen
            flip = (like[order, chosen] < 0) & _odd(architecture)
            if (order != chosen).any() or flip.any():
                moved = True
                _arrange(layers, number, order[None], flip[None])
        if sweep and not moved:
            break
    return np.asarray(architecture.flat(layers))[0] + 0.0
