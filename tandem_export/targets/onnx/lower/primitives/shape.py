"""Operations that move elements and change none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tandem_export.targets.onnx.lower.equation import Equation
from tandem_export.targets.onnx.lower.graph import GraphBuilder, Value
from tandem_export.targets.onnx.lower.shaping import expand, reshape, reshape_all, transpose


def _broadcast(graph: GraphBuilder, equation: Equation, x: Value) -> Value:
    """Inserts axes of size 1: who reads the value broadcasts it."""
    if not x.shape:
        return x
    shape = [1] * len(equation.params["shape"])
    for axis, size in zip(equation.params["broadcast_dimensions"], x.shape, strict=True):
        shape[axis] = size
    return reshape(graph, x, tuple(shape))


def _reshape(graph: GraphBuilder, equation: Equation, x: Value) -> Value:
    return reshape_all(graph, x, equation.operands[0].shape, equation.results[0].shape)


def _transpose(graph: GraphBuilder, equation: Equation, x: Value) -> Value:
    return transpose(graph, x, equation.params["permutation"]) if x.shape else x


def _slice(graph: GraphBuilder, equation: Equation, x: Value) -> Value:
    """Slices, but only the axes that become shorter."""
    if not x.shape:
        return x
    after = equation.results[0].shape
    axes = [a for a, size in enumerate(x.shape) if size != 1 and size != after[a]]
    if not axes:
        return x
    strides = equation.params["strides"] or [1] * len(after)
    parts = equation.params["start_indices"], equation.params["limit_indices"], strides
    numbers = [[part[a] for a in axes] for part in parts]
    starts, limits, steps = (graph.constant(part, np.int64) for part in numbers)
    shape = tuple(after[a] if a in axes else size for a, size in enumerate(x.shape))
    names = (starts, limits, graph.constant(axes, np.int64), steps)
    return graph.emit("Slice", x, *names, shape=shape)


def _concatenate(graph: GraphBuilder, equation: Equation, *parts: Value) -> Value:
    shapes = [operand.shape for operand in equation.operands]
    expanded = [expand(graph, x, shape) for x, shape in zip(parts, shapes, strict=True)]
    shape, axis = equation.results[0].shape, equation.params["dimension"]
    return graph.emit("Concat", *expanded, shape=shape, axis=axis)


def _iota(graph: GraphBuilder, equation: Equation) -> Value:
    """Returns a range along one axis."""
    shape, axis = equation.params["shape"], equation.params["dimension"]
    kind = np.dtype(equation.params["dtype"])
    limits = (graph.constant(number, kind) for number in (0, shape[axis], 1))
    numbers = graph.emit("Range", *limits, shape=(shape[axis],))
    return reshape(graph, numbers, tuple(n if a == axis else 1 for a, n in enumerate(shape)))


LOWERINGS: dict[str, Callable[..., Value]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "iota": _iota,
    "reshape": _reshape,
    "slice": _slice,
    "squeeze": _reshape,
    "transpose": _transpose,
}
