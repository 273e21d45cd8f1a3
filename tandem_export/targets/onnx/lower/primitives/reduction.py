"""Operations that bring an axis to one element, or sort along it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from tandem_export.targets.onnx.lower.equation import Equation
from tandem_export.targets.onnx.lower.graph import GraphBuilder, Value
from tandem_export.targets.onnx.lower.shaping import cast, expand, reshape

_OPERATORS = {"reduce_max": "ReduceMax", "reduce_sum": "ReduceSum"}


def _reduce(operator: str, graph: GraphBuilder, equation: Equation, x: Value) -> Value:
    """Reduces and keeps the axes: they come back where the result is broadcast."""
    x, axes = expand(graph, x, equation.operands[0].shape), equation.params["axes"]
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    numbers = graph.constant(axes, np.int64)
    reduced = graph.emit(operator, x, numbers, shape=shape, keepdims=1)
    return reshape(graph, reduced, equation.results[0].shape)


def _top_k(graph: GraphBuilder, equation: Equation, x: Value) -> tuple[Value, Value]:
    """Returns the largest of the last axis and their indices; of equal ones the first."""
    x, shape = expand(graph, x, equation.operands[0].shape), equation.results[0].shape
    k = graph.constant([shape[-1]], np.int64)
    results = [(shape, x.dtype), (shape, np.dtype(np.int64))]
    values, places = graph.emit_all("TopK", x, k, results=results, axis=-1)
    return values, cast(graph, places, equation.results[1].dtype)


LOWERINGS: dict[str, Callable[..., Value | tuple[Value, Value]]] = {
    **{name: partial(_reduce, operator) for name, operator in _OPERATORS.items()},
    "top_k": _top_k,
}
