"""Reading an ONNX graph backwards, from a value to what it was made of."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

_SHAPING = ("Reshape", "Expand")


class Pattern:
    """Who makes a value, its shape, and what the constants are."""

    def __init__(self, model: ModelProto) -> None:
        self._makers: dict[str, NodeProto] = {}
        self.add(model.graph.node)
        self._inline = {t.name: t for t in model.graph.initializer if not t.external_data}
        written = (node for node in model.graph.node if node.op_type == "Constant")
        self._inline |= {node.output[0]: node.attribute[0].t for node in written}
        noted = (*model.graph.input, *model.graph.value_info, *model.graph.output)
        self._shapes = {value.name: value.type.tensor_type.shape.dim for value in noted}

    def add(self, nodes: Iterable[NodeProto]) -> None:
        """Makes `nodes` those that make their outputs."""
        self._makers.update({name: node for node in nodes for name in node.output})

    def maker(self, value: str | None, *operators: str) -> NodeProto | None:
        """The node that makes `value` if it is one of `operators`."""
        node = None if value is None else self._makers.get(value)
        return node if node is not None and node.op_type in operators else None

    def constant(self, value: str) -> np.ndarray | None:
        """The value of a small constant."""
        tensor = self._inline.get(value)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def shape(self, value: str) -> list[int]:
        """Of `value`; empty where it is not known, or that of a number."""
        if value in self._inline:
            return list(self._inline[value].dims)
        return [dim.dim_value for dim in self._shapes.get(value, ())]

    def behind(self, value: str) -> str:
        """What `value` is a reshaped or broadcast form of."""
        while node := self.maker(value, *_SHAPING):
            value = node.input[0]
        return value

    def operands(self, value: str | None, operator: str) -> tuple[str, str] | None:
        """The two operands of the `operator` that makes `value`."""
        node = self.maker(value, operator)
        return None if node is None else (node.input[0], node.input[1])

    def without(self, value: str | None, operator: str, constant: float) -> str | None:
        """The other operand of the commutative `operator` that makes `value` with `constant`."""
        pair = self.operands(value, operator)
        for one, other in (pair, pair[::-1]) if pair else ():
            if self.equals(one, constant):
                return other
        return None

    def equals(self, value: str, constant: float) -> bool:
        """Whether `value` is this one number, in float32."""
        found = self.constant(value)
        return found is not None and found.size == 1 and bool(np.isclose(found.item(), constant))

    def span(self, value: str) -> tuple[str, list[int], list[int]] | None:
        """What `value` is a slice of, in steps of one along every axis; from where, to where."""
        node = self.maker(value, "Slice")
        if node is None or len(node.input) != 4:
            return None
        starts, ends, axes = (self.constant(name) for name in node.input[1:])
        if starts is None or ends is None or axes is None or axes.tolist() != [*range(starts.size)]:
            return None
        return node.input[0], starts.tolist(), ends.tolist()
