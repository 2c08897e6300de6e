"""An ONNX graph, node after node."""

from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError, require

OPSET = 17
"""ONNX Runtime reads it from 1.12 (2022) on."""

IR = 8
"""The file format that belongs to it."""

MOST_BYTES = 2**31 - 2**20
"""Of one file: protobuf counts in int32."""


class Graph:
    """A graph in the making. Values are known by their names."""

    def __init__(self) -> None:
        """
        Raises:
            EmbrlError: there is no onnx.
        """
        self.onnx: Any = require("onnx", "export")
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._bytes = 0

    def input(self, name: str, dtype: str, shape: tuple[int, ...]) -> str:
        """An input with a batch axis before `shape`; its name."""
        self._inputs.append(self._value(name, dtype, shape))
        return name

    def constant(self, array: Any, dtype: Any = None) -> str:
        """An array's name."""
        name = f"c{len(self._constants)}"
        values = np.asarray(array, dtype)
        self._bytes += values.nbytes
        self._constants.append(self.onnx.numpy_helper.from_array(values, name))
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A node's last output, of so many."""
        names = [f"v{len(self._nodes)}_{number}" for number in range(outputs)]
        node = self.onnx.helper.make_node(operator, list(inputs), names, **attributes)
        self._nodes.append(node)
        return names[-1]

    def cast(self, value: str, dtype: Any) -> str:
        """The same as other numbers."""
        return self.add("Cast", value, to=self._kind(dtype))

    def finished(
        self, value: str, name: str, dtype: str, shape: tuple[int, ...], notes: dict[str, str]
    ) -> bytes:
        """The file, whose only output is `value`, as `name`.

        Raises:
            EmbrlError: it is too large for one file.
        """
        if self._bytes > MOST_BYTES:
            raise EmbrlError(
                f"the policy has {self._bytes / 2**30:.1f} GiB of weights, and an ONNX file holds "
                "2 at most: export it with --no-onnx"
            )
        helper = self.onnx.helper
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        graph = helper.make_graph(
            self._nodes,
            "policy",
            self._inputs,
            [self._value(name, dtype, shape)],
            self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR,
            producer_name="embrl",
        )
        helper.set_model_props(model, notes)
        self.onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()

    def _value(self, name: str, dtype: str, shape: tuple[int, ...]) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, self._kind(dtype), ["batch", *shape])

    def _kind(self, dtype: Any) -> int:
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
