"""The jitted functions of the model that ONNX has one operator for, by name.

Each takes the operands that the function has in the model; `tests/targets/onnx/lower/test_parts.py`
holds both against each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tandem_export.targets.onnx.lower.graph import GraphBuilder, Value
from tandem_export.targets.onnx.lower.primitives.product import matrix_product
from tandem_export.targets.onnx.lower.shaping import cast, reshape, transpose

_FLOAT = np.dtype(np.float32)


def _rms_norm(graph: GraphBuilder, x: Value, gain: Value, eps: Value) -> Value:
    assert eps.constant is not None
    wide, epsilon = cast(graph, x, _FLOAT), float(eps.constant)
    normed = graph.emit("RMSNormalization", wide, gain, shape=x.shape, axis=-1, epsilon=epsilon)
    return cast(graph, normed, x.dtype)


def _rotate(graph: GraphBuilder, x: Value, angle: Value) -> Value:
    """Rotates on three axes: on four, the operator wants the heads before the tokens."""
    B, T, N, H = x.shape
    turns = reshape(graph, angle, (B, T, H // 2))
    cos, sin = (graph.emit(name, turns, shape=turns.shape) for name in ("Cos", "Sin"))
    flat = reshape(graph, cast(graph, x, _FLOAT), (B, T, N * H))
    rotated = graph.emit("RotaryEmbedding", flat, cos, sin, shape=flat.shape, num_heads=N)
    return cast(graph, reshape(graph, rotated, x.shape), x.dtype)


def _gelu(graph: GraphBuilder, x: Value) -> Value:
    return graph.emit("Gelu", x, shape=x.shape, approximate="tanh")


def _int8_product(graph: GraphBuilder, x: Value, values: Value, scale: Value) -> Value:
    """Multiplies with an int8 matrix as it is stored, in the form that engines' kernels take."""
    turned = values.made_by("Transpose")
    stored, axis = (turned[0], 0) if turned else (values, 1)
    wide = graph.emit(
        "DequantizeLinear", stored, scale, shape=stored.shape, dtype=scale.dtype, axis=axis
    )
    weight = transpose(graph, wide, (1, 0)) if turned else wide
    rows = reshape(graph, cast(graph, x, scale.dtype), (math.prod(x.shape[:-1]), x.shape[-1]))
    product = reshape(graph, matrix_product(graph, rows, weight), (*x.shape[:-1], weight.shape[1]))
    return cast(graph, product, x.dtype)


PARTS: dict[str, Callable[..., Value]] = {
    "gelu_tanh": _gelu,
    "int8_product": _int8_product,
    "rms_norm": _rms_norm,
    "rotate_by_angle": _rotate,
}
