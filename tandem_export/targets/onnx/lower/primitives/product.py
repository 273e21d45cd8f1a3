"""Products: `Gemm` for matrices, which engines run twice as fast as one of three axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tandem_export.targets.onnx.lower.equation import Equation
from tandem_export.targets.onnx.lower.graph import GraphBuilder, Value
from tandem_export.targets.onnx.lower.shaping import Shape, cast, expand, reshape, transpose


def matrix_product(graph: GraphBuilder, x: Value, weight: Value) -> Value:
    """Multiplies x `[M, I]` and a weight `[I, O]`; a transposed one is read as it is stored."""
    shape = (x.shape[0], weight.shape[1])
    stored = weight.made_by("Transpose")
    if stored:
        return graph.emit("Gemm", x, stored[0], shape=shape, transB=1)
    return graph.emit("Gemm", x, weight, shape=shape)


def with_bias(graph: GraphBuilder, product: Value, bias: Value) -> Value | None:
    """Fuses a product and the bias `[O]` that is added to each row; None if they are no such."""
    factors, vector = product.made_by("Gemm"), bias.made_by("Reshape")
    if product.node is None or len(factors) != 2 or not vector:
        return None
    columns = product.shape[1]
    if (vector[0].shape, bias.shape) != ((columns,), (1, columns)):
        return None
    attributes = product.node.attributes
    return graph.emit("Gemm", *factors, vector[0], shape=product.shape, **attributes)


def _dot_general(graph: GraphBuilder, equation: Equation, left: Value, right: Value) -> Value:
    (contract, batch), result = equation.params["dimension_numbers"], equation.results[0]
    x, y = (
        expand(graph, cast(graph, value, result.dtype), operand.shape)
        for value, operand in zip((left, right), equation.operands, strict=True)
    )
    free_x, free_y = (
        [a for a in range(len(operand.shape)) if a not in (*contract[i], *batch[i])]
        for i, operand in enumerate((x, y))
    )
    rows = _arranged(graph, x, batch[0], free_x, contract[0])
    columns = _arranged(graph, y, batch[1], contract[1], free_y)
    if batch[0]:
        shape = (*rows.shape[:-1], columns.shape[-1])
        product = graph.emit("MatMul", rows, columns, shape=shape)
    else:
        product = matrix_product(graph, rows, columns)
    return reshape(graph, product, result.shape)


def _arranged(graph: GraphBuilder, x: Value, *parts: Sequence[int]) -> Value:
    """Flattens an operand: batch axes as they are, then the axes of each part as one."""
    batch, *others = parts
    turned = transpose(graph, x, [axis for part in parts for axis in part])
    sizes = [math.prod(x.shape[axis] for axis in part) for part in others]
    shape: Shape = (*(x.shape[axis] for axis in batch), *sizes)
    return reshape(graph, turned, shape)


LOWERINGS: dict[str, Callable[..., Value]] = {"dot_general": _dot_general}
