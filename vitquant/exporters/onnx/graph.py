"""An ONNX graph under construction."""

from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto


class Graph:
    """Nodes in the order of execution, and initialisers, which several nodes may share by name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}
        self._used: dict[str, int] = {}

    def add(
        self, op: str, inputs: list[str], name: str, output: str = "", **attributes: Any
    ) -> str:
        """Append a node with one output; returns the output's name.

        name: of the node; where it is used again, a number is added. output: by default named after
        the node.
        """
        name = self._unique(name)
        output = output or f"{name}:0"
        self.nodes.append(onnx.helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        """An initialiser; one that is there already under the name is taken instead."""
        if name not in self.initializers:
            # A scale without dimensions is of the whole tensor, one of shape (1,) of a channel.
            value = np.asarray(value, order="C")
            self.initializers[name] = onnx.numpy_helper.from_array(value, name)
        return name

    def tensor(self, tensor: TensorProto) -> str:
        """The like, for a tensor of a type that numpy has not."""
        self.initializers.setdefault(tensor.name, tensor)
        return tensor.name

    def _unique(self, name: str) -> str:
        count = self._used[name] = self._used.get(name, 0) + 1
        return name if count == 1 else f"{name}.{count}"
