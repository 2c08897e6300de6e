"""A portable policy as an ONNX file, by running it on symbols that write down what happens.

The graph comes from the very code of `embrl.portable.steps`: a symbol stands for an array, and
every operation on it adds nodes. Beside its name it carries an example, an array with a batch of
one, from which shapes and kinds of numbers follow.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError, require
from embrl.deploy.array_forms import Form
from embrl.portable.steps import NAMESPACES, PortablePolicy

OPSET = 17
"""ONNX Runtime reads it from 1.12 (2022) on."""

IR = 8
"""Version of the file format that belongs to it."""

MAX_BYTES = 2**31 - 2**20
"""Size limit of one file: protobuf counts in int32."""


def policy_model(
    policy: PortablePolicy,
    observation: Form,
    action: Form,
    *,
    stochastic: bool,
    masked: bool,
    notes: dict[str, str],
) -> bytes:
    """Return the file of a graph from `observation` (and `noise`, `mask`) to `action`.

    Args:
        stochastic: True for an input `noise`, by which actions are drawn.
        masked: True for an input `mask`, with the flags of the actions that may be chosen.
        notes: The file's metadata.

    Raises:
        EmbrlError: If onnx is not installed, or the policy is too large for a file.
    """
    graph = Graph()
    # Quiet: the examples are nothing but ones, and may divide by zero.
    with np.errstate(all="ignore"):
        seen = graph.input("observation", observation.dtype, observation.shape)
        noise = graph.input("noise", "float32", (len(policy.noise),)) if stochastic else None
        sizes = policy.part_sizes
        flags = action.count if sizes is None else sum(sizes)
        mask = graph.input("mask", "bool", (flags,)) if masked else None
        result = policy(seen, noise, mask)
    return graph.finished(result, "action", action.dtype, action.shape, notes)


class Graph:
    """An ONNX graph, node after node."""

    def __init__(self) -> None:
        self.onnx: Any = require("onnx", "export")
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._bytes = 0

    def input(self, name: str, dtype: str, shape: tuple[int, ...]) -> "Symbol":
        """Add an input with a free batch axis before `shape`."""
        self._inputs.append(self._value(name, dtype, shape))
        return Symbol(self, name, np.ones((1, *shape), dtype))

    def constant(self, array: Any) -> str:
        """Add an array; return its name."""
        name = f"c{len(self._constants)}"
        values = np.asarray(array)
        self._bytes += values.nbytes
        self._constants.append(self.onnx.numpy_helper.from_array(values, name))
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node; return the name of its last output."""
        names = [f"v{len(self._nodes)}_{number}" for number in range(outputs)]
        self._nodes.append(self.onnx.helper.make_node(operator, list(inputs), names, **attributes))
        return names[-1]

    def symbol(self, example: Any, operator: str, *inputs: str, **attributes: Any) -> "Symbol":
        """Add a node whose result looks like `example`."""
        return Symbol(self, self.add(operator, *inputs, **attributes), np.asarray(example))

    def named(self, value: Any, dtype: np.dtype) -> str:
        """Return the name of a symbol, or of a constant, as this kind of number."""
        if not isinstance(value, Symbol):
            return self.constant(np.asarray(value, dtype))
        return value.name if value.dtype == dtype else value.cast(dtype).name

    def kind(self, dtype: Any) -> int:
        """Return ONNX's number for a kind of number."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def finished(
        self, result: "Symbol", name: str, dtype: str, shape: tuple[int, ...], notes: dict[str, str]
    ) -> bytes:
        """Return the file, whose only output is `result`, as `name`.

        Raises:
            EmbrlError: If it is too large for one file.
        """
        if self._bytes > MAX_BYTES:
            raise EmbrlError(
                f"the policy must have at most 2 GiB of weights for an ONNX file, got "
                f"{self._bytes / 2**30:.1f} GiB; export it with --no-onnx"
            )
        helper = self.onnx.helper
        last = self.named(result, np.dtype(dtype))
        self._nodes.append(helper.make_node("Identity", [last], [name]))
        graph = helper.make_graph(
            self._nodes, "policy", self._inputs, [self._value(name, dtype, shape)], self._constants
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=IR, producer_name="embrl"
        )
        helper.set_model_props(model, notes)
        self.onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()

    def _value(self, name: str, dtype: str, shape: tuple[int, ...]) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, self.kind(dtype), ["batch", *shape])


def _binary(operator: str, function: Callable[[Any, Any], Any], swapped: bool = False) -> Any:
    """Return a method for an operation on two arrays of the same kind of number."""

    def method(self: "Symbol", other: Any) -> "Symbol":
        example = other.example if isinstance(other, Symbol) else other
        one, two = (example, self.example) if swapped else (self.example, example)
        left, right = (other, self) if swapped else (self, other)
        dtype = np.result_type(one, two)
        names = (self.graph.named(left, dtype), self.graph.named(right, dtype))
        return self.graph.symbol(function(one, two), operator, *names)

    return method


class Symbol:
    """An array in an ONNX graph, with the part of NumPy's interface that steps use."""

    __array_ufunc__ = None  # so that NumPy leaves operators to this class
    device = None

    def __init__(self, graph: Graph, name: str, example: np.ndarray) -> None:
        self.graph = graph
        self.name = name
        self.example = example
        self.shape, self.ndim, self.dtype = example.shape, example.ndim, example.dtype

    __add__ = _binary("Add", np.add)
    __radd__ = _binary("Add", np.add, swapped=True)
    __sub__ = _binary("Sub", np.subtract)
    __rsub__ = _binary("Sub", np.subtract, swapped=True)
    __mul__ = _binary("Mul", np.multiply)
    __rmul__ = _binary("Mul", np.multiply, swapped=True)
    __truediv__ = _binary("Div", np.true_divide)
    __floordiv__ = _binary("Div", np.floor_divide)  # of non-negative integers
    __mod__ = _binary("Mod", np.remainder)
    __matmul__ = _binary("MatMul", np.matmul)
    __le__ = _binary("LessOrEqual", np.less_equal)
    __gt__ = _binary("Greater", np.greater)
    maximum = _binary("Max", np.maximum)
    minimum = _binary("Min", np.minimum)

    def __getitem__(self, key: tuple[Any, ...]) -> "Symbol":
        """Index the last axes: `[..., *parts]` with slices, integers and None."""
        assert key[0] is Ellipsis
        found, graph, parts = self, self.graph, key[1:]
        axis = self.ndim - sum(part is not None for part in parts)
        for part in parts:
            if part is None:
                example = np.expand_dims(found.example, axis)
                found = graph.symbol(example, "Unsqueeze", found.name, graph.constant([axis]))
            elif isinstance(part, slice) and part == slice(None):
                pass
            else:
                single = not isinstance(part, slice)
                cut = slice(part, part + 1) if single else part
                end = np.iinfo(np.int64).max if cut.stop is None else cut.stop
                sides = (cut.start or 0, end, axis, cut.step or 1)
                ends = (graph.constant([side]) for side in sides[: 3 + (sides[3] != 1)])
                example = found.example[(*(slice(None),) * axis, cut)]
                found = graph.symbol(example, "Slice", found.name, *ends)
                if single:
                    example = example.squeeze(axis)
                    found = graph.symbol(example, "Squeeze", found.name, graph.constant([axis]))
                    continue
            axis += 1
        return found

    def reshape(self, shape: tuple[int, ...]) -> "Symbol":
        """Return the values in another shape, whose first axis is the batch."""
        free = self.graph.constant(np.array([-1, *shape[1:]], np.int64))
        return self.graph.symbol(self.example.reshape(shape), "Reshape", self.name, free)

    def cast(self, dtype: Any) -> "Symbol":
        """Return the values as another kind of number."""
        kind = self.graph.kind(dtype)
        return self.graph.symbol(self.example.astype(dtype), "Cast", self.name, to=kind)

    def sum(self, axis: int) -> "Symbol":
        """Return sums over an axis; of truth values, how many are true."""
        example, axes = self.example.sum(axis), self.graph.constant([axis])
        name = self.graph.named(self, example.dtype)
        return self.graph.symbol(example, "ReduceSum", name, axes, keepdims=0)

    def mean(self, axis: int, keepdims: bool) -> "Symbol":
        """Return means over an axis."""
        example = self.example.mean(axis, keepdims=keepdims)
        return self.graph.symbol(
            example, "ReduceMean", self.name, axes=[axis], keepdims=int(keepdims)
        )

    def argmax(self, axis: int) -> "Symbol":
        """Return the first index of the greatest value."""
        return self.graph.symbol(
            self.example.argmax(axis), "ArgMax", self.name, axis=axis, keepdims=0
        )

    def argmin(self, axis: int) -> "Symbol":
        """Return the first index of the least value."""
        return self.graph.symbol(
            self.example.argmin(axis), "ArgMin", self.name, axis=axis, keepdims=0
        )

    def cumsum(self, axis: int) -> "Symbol":
        """Return running sums."""
        at = self.graph.constant(np.int64(axis))
        return self.graph.symbol(self.example.cumsum(axis), "CumSum", self.name, at)


class _Order:
    """A stable argsort that has yet to be cut: ONNX finds the first k without sorting them all."""

    def __init__(self, values: Symbol) -> None:
        self.values = values

    def __getitem__(self, key: tuple[Any, ...]) -> Symbol:
        values, example = self.values, self.values.example.argsort(-1)[key]
        count = values.graph.constant(np.array([example.shape[-1]], np.int64))
        return values.graph.symbol(
            example, "TopK", values.name, count, outputs=2, largest=0, axis=-1
        )


def _unary(operator: str, function: Callable[[Any], Any]) -> Any:
    """Return a function of one array, number by number."""
    return staticmethod(
        lambda values: values.graph.symbol(function(values.example), operator, values.name)
    )


class OnnxFunctions:
    """NumPy's functions for symbols, as far as steps use them; of constants, they are NumPy's."""

    maximum = staticmethod(Symbol.maximum)
    minimum = staticmethod(Symbol.minimum)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    tanh = _unary("Tanh", np.tanh)
    exp = _unary("Exp", np.exp)
    abs = _unary("Abs", np.abs)
    round = _unary("Round", np.round)

    def asarray(self, values: Symbol, dtype: Any) -> Symbol:
        return values if values.dtype == np.dtype(dtype) else values.cast(dtype)

    def arange(self, count: int, device: None) -> np.ndarray:
        return np.arange(count, device=device)

    def take(self, table: Any, index: Any, axis: int) -> Symbol:
        if isinstance(table, Symbol):
            example, graph = np.take(table.example, index, axis=axis), table.graph
            return graph.symbol(example, "Gather", table.name, graph.constant(index), axis=axis)
        example = np.take(table, np.zeros_like(index.example), axis=axis)
        graph = index.graph
        return graph.symbol(example, "Gather", graph.constant(table), index.name, axis=axis)

    def take_along_axis(self, values: Symbol, index: Symbol, axis: int) -> Symbol:
        # Axes of length 1 are stretched first, which GatherElements does not do itself.
        shape = [1, *values.shape[1:]]
        shape[axis] = 1
        example = np.take_along_axis(values.example, np.zeros_like(index.example), axis)
        graph, whole = values.graph, values.graph.constant(np.array(shape, np.int64))
        stretched = graph.add("Expand", index.name, whole)
        return graph.symbol(example, "GatherElements", values.name, stretched, axis=axis)

    def concat(self, parts: Sequence[Symbol], axis: int) -> Symbol:
        example = np.concat([part.example for part in parts], axis)
        names = (part.name for part in parts)
        return parts[0].graph.symbol(example, "Concat", *names, axis=axis)

    def zeros_like(self, values: Symbol) -> Symbol:
        shape = values.graph.add("Shape", values.name)
        zero = values.graph.onnx.numpy_helper.from_array(np.zeros(1, values.dtype))
        return values.graph.symbol(values.example * 0, "ConstantOfShape", shape, value=zero)

    def clip(self, values: Symbol, low: Any, high: Any) -> Symbol:
        return values.maximum(low).minimum(high)

    def searchsorted(self, table: np.ndarray, values: Symbol) -> Symbol:
        """Return how many numbers of an ascending table are less than each value, by halving."""
        depth = len(table).bit_length()
        filled = np.full(2**depth - 1, np.iinfo(table.dtype).max)
        filled[: len(table)] = table
        name, example = values.graph.constant(filled), filled[values.example * 0]
        found = values * 0
        for step in (1 << at for at in reversed(range(depth))):
            ahead = found + (step - 1)
            there = values.graph.symbol(example, "Gather", name, ahead.name, axis=0)
            found = self.where(values > there, found + step, found)
        return found

    def add_at(self, values: Symbol, index: Symbol, amounts: Symbol) -> Symbol:
        return values.graph.symbol(
            values.example,
            "ScatterElements",
            *(values.name, index.name, amounts.name),
            axis=values.ndim - 1,
            reduction="add",
        )

    def amax(self, values: Symbol, axis: int, keepdims: bool = False) -> Symbol:
        return self._reduced("ReduceMax", values, axis, keepdims)

    def amin(self, values: Symbol, axis: int, keepdims: bool = False) -> Symbol:
        return self._reduced("ReduceMin", values, axis, keepdims)

    def _reduced(self, operator: str, values: Symbol, axis: int, keepdims: bool) -> Symbol:
        example = values.example.max(axis, keepdims=keepdims)
        return values.graph.symbol(
            example, operator, values.name, axes=[axis], keepdims=int(keepdims)
        )

    def argsort(self, values: Symbol, axis: int, stable: bool) -> _Order:
        assert axis == -1
        assert stable
        return _Order(values)

    def where(self, condition: Any, one: Any, other: Any) -> Symbol:
        examples = [part.example if isinstance(part, Symbol) else part for part in (one, other)]
        graph = next(part.graph for part in (condition, one, other) if isinstance(part, Symbol))
        truth = condition.example if isinstance(condition, Symbol) else condition
        dtype = np.result_type(*examples)
        names = [graph.named(part, dtype) for part in (one, other)]
        chosen = graph.named(condition, np.dtype(bool))
        return graph.symbol(np.where(truth, *examples), "Where", chosen, *names)


NAMESPACES[Symbol] = OnnxFunctions()
