"""Changes of shape, as few as there can be: engines pay for each, in time and in memory.

An array that is broadcast stays as small as it is: a value stands for every array that numpy would
broadcast it to. So a value has the rank of what it stands for, with axes of size 1 where that has
more, or it is a single number of rank 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from onnx import helper

from tandem_export.targets.onnx.lower.graph import GraphBuilder, Value

Shape = tuple[int, ...]
# Larger results of constants are computed by the engine: a mask would outweigh the graph.
LARGEST_FOLDED = 32


def broadcasting(graph: GraphBuilder, operator: str, *operands: Value, dtype: np.dtype) -> Value:
    """Returns an operator that broadcasts its operands as numpy does."""
    shape = np.broadcast_shapes(*(x.shape for x in operands))
    return graph.emit(operator, *operands, shape=shape, dtype=dtype)


def cast(graph: GraphBuilder, x: Value, dtype: np.dtype) -> Value:
    """Returns `x` in another dtype."""
    if x.dtype == dtype:
        return x
    if x.constant is not None:
        return graph.constant(x.constant.astype(dtype))
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    return graph.emit("Cast", x, shape=x.shape, dtype=dtype, to=kind)


def expand(graph: GraphBuilder, x: Value, shape: Shape) -> Value:
    """Returns the array of this shape that `x` stands for."""
    if x.shape == shape:
        return x
    if x.constant is not None and math.prod(shape) <= LARGEST_FOLDED:
        return graph.constant(np.broadcast_to(x.constant, shape))
    return graph.emit("Expand", x, _sizes(graph, shape), shape=shape)


def transpose(graph: GraphBuilder, x: Value, order: Sequence[int]) -> Value:
    """Returns the axes of `x` in another order."""
    shape = tuple(x.shape[axis] for axis in order)
    if x.constant is not None:
        return graph.constant(x.constant.transpose(order))
    moved = [axis for axis in order if x.shape[axis] != 1]
    if moved == sorted(moved):
        return reshape(graph, x, shape)
    return graph.emit("Transpose", x, shape=shape, perm=list(order))


def reshape(graph: GraphBuilder, x: Value, shape: Shape) -> Value:
    """Reshapes `x` in one step from what a chain of reshapes began with."""
    while x.shape != shape and (before := x.made_by("Reshape")):
        x = before[0]
    if x.shape == shape:
        return x
    if x.constant is not None:
        return graph.constant(x.constant.reshape(shape))
    return graph.emit("Reshape", x, _sizes(graph, shape), shape=shape)


def reshape_all(graph: GraphBuilder, x: Value, before: Shape, after: Shape) -> Value:
    """Returns the array of shape `before` that `x` stands for, in the shape `after`."""
    if not x.shape:
        return x
    if filled := _filled(graph, x, before, after):
        return filled
    groups = _groups(before, after)
    wide, small = list(x.shape), []
    for old, new in groups:
        if any(x.shape[axis] != 1 for axis in old):
            for axis in old:
                wide[axis] = before[axis]
            small += [after[axis] for axis in new]
        else:
            small += [1] * len(new)
    return reshape(graph, expand(graph, x, tuple(wide)), tuple(small))


def _filled(graph: GraphBuilder, x: Value, before: Shape, after: Shape) -> Value | None:
    """Returns a `Where` in the shape that its array had before: layers share the reshaped mask."""
    operands = x.made_by("Where")
    if not any(source[0].shape == after for y in operands if (source := y.made_by("Reshape"))):
        return None
    moved = [reshape_all(graph, operand, before, after) for operand in operands]
    return broadcasting(graph, "Where", *moved, dtype=x.dtype)


def _groups(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """Returns the smallest runs of axes that hold equally many elements in both shapes."""
    groups, i, j = [], 0, 0
    while i < len(before) or j < len(after):
        old, new, sizes = [], [], [1, 1]
        while not (old or new) or sizes[0] != sizes[1]:
            if j == len(after) or (i < len(before) and sizes[0] <= sizes[1]):
                old.append(i)
                sizes[0] *= before[i]
                i += 1
            else:
                new.append(j)
                sizes[1] *= after[j]
                j += 1
        groups.append((old, new))
    return groups


def _sizes(graph: GraphBuilder, shape: Shape) -> Value:
    return graph.constant(shape, np.int64)
