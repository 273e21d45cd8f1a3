"""Operations on each element; ONNX broadcasts operands as numpy does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from tandem_export.targets.onnx.lower.equation import Equation
from tandem_export.targets.onnx.lower.graph import GraphBuilder, Value
from tandem_export.targets.onnx.lower.primitives.product import with_bias
from tandem_export.targets.onnx.lower.shaping import broadcasting, cast

_OPERATORS = {
    "add": "Add",
    "and": "And",
    "div": "Div",
    "exp": "Exp",
    "ge": "GreaterOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "mul": "Mul",
    "neg": "Neg",
    "sub": "Sub",
    "tanh": "Tanh",
}
# What leaves the other operand as it is: on the right, and on the left where the order is free.
_NEUTRAL = {"add": 0, "sub": 0, "mul": 1, "div": 1}
_COMMUTATIVE = ("add", "mul")


def _plain(name: str, graph: GraphBuilder, equation: Equation, *operands: Value) -> Value:
    if name in _NEUTRAL:
        left, right = operands
        if _is(right, _NEUTRAL[name]):
            return left
        if name in _COMMUTATIVE and _is(left, _NEUTRAL[name]):
            return right
        if name == "add" and (biased := with_bias(graph, left, right)):
            return biased
    return broadcasting(graph, _OPERATORS[name], *operands, dtype=_dtype(equation))


def _is(value: Value, number: int) -> bool:
    return value.constant is not None and bool(np.all(value.constant == number))


def _dtype(equation: Equation) -> np.dtype:
    return equation.results[0].dtype


def _select(graph: GraphBuilder, equation: Equation, which: Value, *cases: Value) -> Value:
    no, yes = cases
    return broadcasting(graph, "Where", which, yes, no, dtype=_dtype(equation))


def _convert(graph: GraphBuilder, equation: Equation, x: Value) -> Value:
    return cast(graph, x, _dtype(equation))


def _same(graph: GraphBuilder, equation: Equation, x: Value) -> Value:
    return x


LOWERINGS: dict[str, Callable[..., Value]] = {
    **{name: partial(_plain, name) for name in _OPERATORS},
    "convert_element_type": _convert,
    "select_n": _select,
    "stop_gradient": _same,
}
