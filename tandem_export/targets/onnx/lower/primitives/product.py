"""Products: `Gemm` for matrices, which engines run twice as fast as one of three axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from jax.extend.core import JaxprEqn

from tandem_export.targets.onnx.lower.graph import GraphBuilder, Value
from tandem_export.targets.onnx.lower.shaping import Shape, cast, expand, reshape, transpose


def matrix_product(graph: GraphBuilder, x: Value, weight: Value) -> Value:
    """x `[M, I]` times weight `[I, O]`; one that was transposed is read as it is stored."""
    shape = (x.shape[0], weight.shape[1])
    stored = weight.made_by("Transpose")
    if stored:
        return graph.emit("Gemm", x, stored[0], shape=shape, transB=1)
    return graph.emit("Gemm", x, weight, shape=shape)


def _dot_general(graph: GraphBuilder, equation: JaxprEqn, left: Value, right: Value) -> Value:
    (contract, batch), result = equation.params["dimension_numbers"], equation.outvars[0].aval
    x, y = (
        expand(graph, cast(graph, operand, result.dtype), variable.aval.shape)
        for operand, variable in zip((left, right), equation.invars, strict=True)
    )
    free_x, free_y = (
        [a for a in range(len(operand.shape)) if a not in (*contract[i], *batch[i])]
        for i, operand in enumerate((x, y))
    )
    rows = _arranged(graph, x, batch[0], free_x, contract[0])
    columns = _arranged(graph, y, batch[1], contract[1], free_y)
    if batch[0]:
        shape = (*rows.shape[:-1], columns.shape[-1])
        made = graph.emit("MatMul", rows, columns, shape=shape)
    else:
        made = matrix_product(graph, rows, columns)
    return reshape(graph, made, result.shape)


def _arranged(graph: GraphBuilder, x: Value, *parts: Sequence[int]) -> Value:
    """Batch axes as they are, then the axes of each part as one."""
    batch, *others = parts
    turned = transpose(graph, x, [axis for part in parts for axis in part])
    sizes = [math.prod(x.shape[axis] for axis in part) for part in others]
    shape: Shape = (*(x.shape[axis] for axis in batch), *sizes)
    return reshape(graph, turned, shape)


LOWERINGS: dict[str, Callable[..., Value]] = {"dot_general": _dot_general}
