"""Plain steps in ONNX: one function for each."""

import functools
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError
from embrl.deploy.form import Form
from embrl.deploy.onnx_graph import Graph
from embrl.portable import Beside, Chain
from embrl.portable.draws import (
    ByDistance,
    Categorical,
    Gaussian,
    SquashedGaussian,
    block_side,
)
from embrl.portable.forms import Cast, Clipped, Digits, Reshaped, Rounded, Shifted
from embrl.portable.judged import Judged
from embrl.portable.layers import (
    Affine,
    Column,
    FactorRows,
    First,
    Likeliest,
    MeanOne,
    Relu,
    Rest,
    Rows,
    Tanh,
)
from embrl.portable.nearest import Nearest
from embrl.portable.policy import PortablePolicy
from embrl.portable.scaling import Limits, Original, Scaled, Standardised

LAST = np.array([-1], np.int64)


def policy_model(
    policy: PortablePolicy,
    observation: Form,
    action: Form,
    *,
    stochastic: bool,
    notes: dict[str, str],
) -> bytes:
    """The file of a graph from `observation` (and `noise`, if it is stochastic) to `action`, the
    batch axis first and free.

    Raises:
        EmbrlError: there is no onnx, or the policy is too large for a file.
    """
    graph = Graph()
    value = graph.input("observation", observation.dtype, observation.shape)
    x = chain(policy.features, graph, value)
    value = chain(policy.parameters, graph, x)
    noise, first, width = "", policy.draw.normal + policy.draw.uniform, len(policy.noise)
    if stochastic:
        noise = graph.input("noise", "float32", (width,))
        value = draw(policy.draw, graph, value, _columns(graph, noise, 0, first))
    else:
        value = chain(policy.likeliest, graph, value)
    if policy.judged is not None:
        value = judged(policy.judged, graph, x, value)
    elif policy.f_draw is None or not stochastic:
        value = chain(policy.f, graph, value)
    else:
        value = draw(policy.f_draw, graph, value, _columns(graph, noise, first, width))
    value = graph.cast(chain(policy.leave, graph, value), action.dtype)
    return graph.finished(value, "action", action.dtype, action.shape, notes)


def chain(steps: Chain, graph: Graph, value: str) -> str:
    """One step after another."""
    for one in steps.steps:
        value = step(one, graph, value)
    return value


@functools.singledispatch
def step(one: object, graph: Graph, value: str) -> str:
    """Adds a step that takes `value`; the name of what it gives."""
    del graph, value
    raise EmbrlError(f"{type(one).__name__} has no form in ONNX")


@functools.singledispatch
def draw(one: object, graph: Graph, value: str, noise: str) -> str:
    """Adds a random step."""
    del graph, value, noise
    raise EmbrlError(f"{type(one).__name__} has no form in ONNX")


@step.register
def _(one: Beside, graph: Graph, value: str) -> str:
    return graph.add("Concat", *(chain(part, graph, value) for part in one.parts), axis=-1)


@step.register
def _(one: Affine, graph: Graph, value: str) -> str:
    product = graph.add("MatMul", value, graph.constant(one.weight))
    return graph.add("Add", product, graph.constant(one.bias))


@step.register
def _(one: FactorRows, graph: Graph, value: str) -> str:
    places = graph.add("Add", value, graph.constant(one.offsets, np.int32))
    rows = graph.add("Gather", graph.constant(one.table), places, axis=0)
    total = graph.add("ReduceSum", rows, graph.constant([-2], np.int64), keepdims=0)
    return graph.add("Add", total, graph.constant(one.bias))


@step.register
def _(one: Rows, graph: Graph, value: str) -> str:
    return graph.add("Gather", graph.constant(one.table), value, axis=0)


@step.register
def _(one: Tanh, graph: Graph, value: str) -> str:
    del one
    return graph.add("Tanh", value)


@step.register
def _(one: Relu, graph: Graph, value: str) -> str:
    del one
    return graph.add("Relu", value)


@step.register
def _(one: First, graph: Graph, value: str) -> str:
    return _columns(graph, value, 0, one.count)


@step.register
def _(one: Rest, graph: Graph, value: str) -> str:
    return _columns(graph, value, one.begin, np.iinfo(np.int64).max)


@step.register
def _(one: MeanOne, graph: Graph, value: str) -> str:
    del one
    mean = graph.add("ReduceMean", graph.add("Abs", value), axes=[-1])
    return graph.add("Div", value, graph.add("Max", mean, graph.constant(1e-8, np.float32)))


@step.register
def _(one: Column, graph: Graph, value: str) -> str:
    del one
    return graph.add("Unsqueeze", value, graph.constant(LAST))


@step.register
def _(one: Likeliest, graph: Graph, value: str) -> str:
    del one
    return graph.add("ArgMax", value, axis=-1, keepdims=0)


@step.register
def _(one: Nearest, graph: Graph, value: str) -> str:
    if one.allowed is None:
        return graph.add("ArgMin", _distances(graph, one.table, value), axis=-1, keepdims=0)
    names = np.flatnonzero(one.allowed)
    found = graph.add("ArgMin", _distances(graph, one.table[names], value), axis=-1, keepdims=0)
    return graph.add("Gather", graph.constant(names, np.int64), found, axis=0)


@step.register
def _(one: Standardised, graph: Graph, value: str) -> str:
    apart = graph.add("Sub", value, graph.constant(one.centre))
    return graph.add("Div", apart, graph.constant(one.width))


@step.register
def _(one: Scaled, graph: Graph, value: str) -> str:
    limits = one.limits
    low, high = limits.finite
    scaled = graph.add("Sub", value, graph.constant(low))
    scaled = graph.add("Div", scaled, graph.constant(high - low))
    scaled = graph.add("Mul", scaled, graph.constant(np.float32(2.0)))
    scaled = graph.add("Sub", scaled, graph.constant(np.float32(1.0)))
    if limits.ranged.all():
        return scaled
    if limits.centre is None or limits.width is None:
        size = graph.add("Add", graph.add("Abs", value), graph.constant(np.float32(1.0)))
        other = graph.add("Div", value, size)
    else:
        other = graph.add("Sub", value, graph.constant(limits.centre))
        other = graph.add("Div", other, graph.constant(limits.width))
        other = _clipped(graph, other, np.float32(-limits.farthest), np.float32(limits.farthest))
    return graph.add("Where", graph.constant(limits.ranged), scaled, other)


@step.register
def _(one: Original, graph: Graph, value: str) -> str:
    limits: Limits = one.limits
    low, high = limits.finite
    original = graph.add("Add", value, graph.constant(np.float32(1.0)))
    original = graph.add("Mul", original, graph.constant(np.float32(0.5)))
    original = graph.add("Mul", original, graph.constant(high - low))
    original = graph.add("Add", original, graph.constant(low))
    ranged = limits.ranged
    if not ranged.all():
        other = value
        if limits.centre is not None and limits.width is not None:
            other = graph.add("Mul", value, graph.constant(limits.width))
            other = graph.add("Add", other, graph.constant(limits.centre))
        original = graph.add("Where", graph.constant(ranged), original, other)
    return _clipped(graph, original, limits.low, limits.high)


@step.register
def _(one: Cast, graph: Graph, value: str) -> str:
    return graph.cast(value, one.dtype)


@step.register
def _(one: Shifted, graph: Graph, value: str) -> str:
    return graph.add("Add", value, graph.constant(one.by, np.int64))


@step.register
def _(one: Reshaped, graph: Graph, value: str) -> str:
    return graph.add("Reshape", value, graph.constant([-1, *one.after], np.int64))


@step.register
def _(one: Digits, graph: Graph, value: str) -> str:
    apart = graph.add("Unsqueeze", value, graph.constant(LAST))
    rest = graph.add("Div", apart, graph.constant(one.strides, np.int64))
    return graph.add("Mod", rest, graph.constant(one.sizes, np.int64))


@step.register
def _(one: Rounded, graph: Graph, value: str) -> str:
    del one
    return graph.add("Round", value)


@step.register
def _(one: Clipped, graph: Graph, value: str) -> str:
    return _clipped(graph, value, one.low, one.high)


@draw.register
def _(one: Gaussian, graph: Graph, value: str, noise: str) -> str:
    mean = graph.add("Tanh", value) if one.bounded else value
    return graph.add("Add", mean, graph.add("Mul", noise, graph.constant(one.std)))


@draw.register
def _(one: SquashedGaussian, graph: Graph, value: str, noise: str) -> str:
    mean = _columns(graph, value, 0, one.count)
    log_std = _columns(graph, value, one.count, 2 * one.count)
    log_std = _clipped(graph, log_std, np.float32(one.least), np.float32(one.most))
    far = graph.add("Mul", graph.add("Exp", log_std), noise)
    return graph.add("Tanh", graph.add("Add", mean, far))


@draw.register
def _(one: ByDistance, graph: Graph, value: str, noise: str) -> str:
    distance = _distances(graph, one.table, value)
    least = graph.add("ReduceMin", distance, axes=[-1], keepdims=1)
    beyond = graph.add("Sub", distance, least)
    logits = graph.add("Mul", beyond, graph.constant(np.float32(-one.cold)))
    return _drawn(graph, logits, noise, len(one.table))


@draw.register
def _(one: Categorical, graph: Graph, value: str, noise: str) -> str:
    return _drawn(graph, value, noise, one.count)


def judged(one: Judged, graph: Graph, x: str, u: str) -> str:
    """Adds an f that asks a critic about the points near `u`."""
    candidates, near = graph.constant(one.table), ""
    if one.k is not None:
        count = graph.constant([min(one.k, len(one.table))], np.int64)
        near = graph.add("TopK", _distances(graph, one.table, u), count, outputs=2, largest=0)
        candidates = graph.add("Gather", candidates, near, axis=0)
    values = []
    for below, weights, above in zip(one.below, one.beside, one.above, strict=True):
        first = graph.add("Unsqueeze", chain(below, graph, x), graph.constant([-2], np.int64))
        point = graph.add("MatMul", candidates, graph.constant(weights))
        value = chain(above, graph, graph.add("Add", first, point))
        values.append(graph.add("Squeeze", value, graph.constant(LAST)))
    lower = graph.add("Min", *values)
    if not near:
        return graph.add("ArgMax", lower, axis=-1, keepdims=0)
    best = graph.add("ArgMax", lower, axis=-1, keepdims=1)
    chosen = graph.add("GatherElements", near, best, axis=-1)
    return graph.add("Squeeze", chosen, graph.constant(LAST))


def _drawn(graph: Graph, logits: str, noise: str, n: int) -> str:
    """As `Categorical` does it: in blocks, then in one of them."""
    side = block_side(n)
    most = graph.add("ReduceMax", logits, axes=[-1], keepdims=1)
    weights = graph.add("Exp", graph.add("Sub", logits, most))
    pads = graph.constant([0, 0, 0, side * side - n], np.int64)
    weights = graph.add("Pad", weights, pads, graph.constant(np.float32(0.0)))
    blocks = graph.add("Reshape", weights, graph.constant([-1, side, side], np.int64))
    sums = graph.add("ReduceSum", blocks, graph.constant(LAST), keepdims=0)
    total = graph.add("ReduceSum", sums, graph.constant(LAST), keepdims=1)
    block, rest = _pass(graph, sums, graph.add("Mul", noise, total), side)
    inside = graph.add("GatherND", blocks, block, batch_dims=1)
    index, _ = _pass(graph, inside, rest, side)
    number = graph.add("Mul", block, graph.constant(side, np.int64))
    number = graph.add("Add", number, index)
    return graph.add("Squeeze", number, graph.constant(LAST))


def _pass(graph: Graph, weights: str, target: str, side: int) -> tuple[str, str]:
    """First index whose running sum exceeds target, int64 `[B, 1]`, and what of target is left
    inside it, `[B, 1]`.
    """
    zero = graph.constant(np.float32(0.0))
    running = graph.add("CumSum", weights, graph.constant(-1, np.int64))
    passed = graph.cast(graph.add("LessOrEqual", running, target), np.int64)
    count = graph.add("ReduceSum", passed, graph.constant(LAST), keepdims=1)
    positions = graph.constant(np.arange(side), np.int64)
    possible = graph.add("Greater", weights, zero)
    places = graph.add("Where", possible, positions, graph.constant(0, np.int64))
    last = graph.add("ReduceMax", places, axes=[-1], keepdims=1)
    index = graph.add("Min", count, last)
    before = graph.add("GatherElements", graph.add("Sub", running, weights), index, axis=-1)
    return index, graph.add("Max", graph.add("Sub", target, before), zero)


def _distances(graph: Graph, table: np.ndarray, value: str) -> str:
    """Squared, `[B, n]`. Differences are squared as they are, one coordinate at a time: the
    expanded form would cancel, and all coordinates at once would take d times the memory.
    """
    total = ""
    for axis in range(table.shape[1]):
        apart = graph.add(
            "Sub", _columns(graph, value, axis, axis + 1), graph.constant(table[:, axis])
        )
        square = graph.add("Mul", apart, apart)
        total = graph.add("Add", total, square) if total else square
    return total


def _columns(graph: Graph, value: str, begin: int, end: int) -> str:
    return graph.add(
        "Slice",
        value,
        graph.constant([begin], np.int64),
        graph.constant([end], np.int64),
        graph.constant(LAST),
    )


def _clipped(graph: Graph, value: str, low: Any, high: Any) -> str:
    above = graph.add("Max", value, graph.constant(low))
    return graph.add("Min", above, graph.constant(high))
