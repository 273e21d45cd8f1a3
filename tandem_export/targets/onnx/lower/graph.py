"""An ONNX graph while it is built: values, the nodes that make them, and what they are called.

A node that is added twice is there once, so layers share what they compute alike. Names are given
at the end, when it is known which values are outputs; a node that no output needs is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, ValueInfoProto, helper, numpy_helper


@dataclass(frozen=True, eq=False, kw_only=True)
class Value:
    """One array of the graph; two are the same if they are the same object.

    Attributes:
      shape: of the array.
      dtype: of its elements.
      node: what makes it, None for inputs and constants.
      constant: its elements, None if they are not known.
      name: of an input.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    node: Node | None = None
    constant: np.ndarray | None = None
    name: str = ""

    def made_by(self, *operators: str) -> tuple[Value, ...]:
        """Returns what the node that makes it reads, if it is one of `operators`; else nothing."""
        node = self.node
        return node.inputs if node is not None and node.operator in operators else ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """One operation; its attributes are those of the ONNX operator."""

    operator: str
    inputs: tuple[Value, ...]
    attributes: Mapping[str, Any]


class GraphBuilder:
    """Collects values and nodes, then writes those that the outputs need."""

    def __init__(self) -> None:
        self._inputs: dict[str, Value] = {}
        self._constants: dict[tuple, Value] = {}
        self._results: dict[tuple, tuple[Value, ...]] = {}

    def input(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Value:
        """Returns a value that the caller of the graph gives."""
        return self._inputs.setdefault(name, Value(shape=shape, dtype=dtype, name=name))

    def constant(self, array: Any, dtype: Any = None) -> Value:
        """Returns a value that is known now."""
        known = np.asarray(array, dtype)
        key = (known.dtype.name, known.shape, known.tobytes())
        value = Value(shape=known.shape, dtype=known.dtype, constant=known)
        return self._constants.setdefault(key, value)

    def emit(
        self,
        operator: str,
        *inputs: Value,
        shape: tuple[int, ...],
        dtype: np.dtype | None = None,
        **attributes: Any,
    ) -> Value:
        """Adds an operation and returns its one result, of the first input's dtype if not given."""
        kind = inputs[0].dtype if dtype is None else dtype
        return self.emit_all(operator, *inputs, results=[(shape, kind)], **attributes)[0]

    def emit_all(
        self,
        operator: str,
        *inputs: Value,
        results: Sequence[tuple[tuple[int, ...], np.dtype]],
        **attributes: Any,
    ) -> tuple[Value, ...]:
        """Adds an operation and returns every result, of the given shapes and dtypes."""
        key = (operator, *inputs, *((n, repr(a)) for n, a in sorted(attributes.items())))
        if key not in self._results:
            node = Node(operator=operator, inputs=inputs, attributes=attributes)
            values = (Value(shape=shape, dtype=kind, node=node) for shape, kind in results)
            self._results[key] = tuple(values)
        return self._results[key]

    def finish(self, name: str, outputs: Mapping[str, Value]) -> GraphProto:
        """Returns the graph that makes the named outputs; what they do not need is left out."""
        named = self._nameable(outputs)
        needed = self._needed(named.values())
        names = {value: value.name for value in self._inputs.values()}
        names |= {value: output for output, value in named.items()}
        constants = [value for value in self._constants.values() if value in needed]
        names |= {value: f"constant_{i}" for i, value in enumerate(constants)}
        needed_results = [
            results for results in self._results.values() if not needed.isdisjoint(results)
        ]
        for value in (value for results in needed_results for value in results):
            names.setdefault(value, f"{_maker(value).operator}_{len(names)}")
        return helper.make_graph(
            [_node(results, names) for results in needed_results],
            name,
            [_info(given, value) for given, value in self._inputs.items()],
            [_info(output, value) for output, value in named.items()],
            initializer=[numpy_helper.from_array(_known(v), names[v]) for v in constants],
        )

    def _nameable(self, outputs: Mapping[str, Value]) -> dict[str, Value]:
        """Returns each output as a value from a node of the graph, no two the same."""
        named: dict[str, Value] = {}
        for name, value in outputs.items():
            if value.node is None or value in named.values():
                node = Node(operator="Identity", inputs=(value,), attributes={})
                value = Value(shape=value.shape, dtype=value.dtype, node=node)
                self._results["output", name] = (value,)
            named[name] = value
        return named

    def _needed(self, outputs: Iterable[Value]) -> set[Value]:
        needed = set(outputs)
        for results in reversed(self._results.values()):
            if not needed.isdisjoint(results):
                needed.update(_maker(results[0]).inputs)
        return needed


def _maker(value: Value) -> Node:
    assert value.node is not None
    return value.node


def _known(value: Value) -> np.ndarray:
    assert value.constant is not None
    return value.constant


def _node(values: tuple[Value, ...], names: Mapping[Value, str]) -> NodeProto:
    node, results = _maker(values[0]), [names[value] for value in values]
    inputs = [names[value] for value in node.inputs]
    return helper.make_node(node.operator, inputs, results, name=results[0], **node.attributes)


def _info(name: str, value: Value) -> ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    return helper.make_tensor_value_info(name, kind, value.shape)
