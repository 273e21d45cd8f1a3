"""Operations on each element; ONNX broadcasts operands as numpy does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from jax.extend.core import JaxprEqn

from tandem_export.targets.onnx.lower.graph import GraphBuilder, Value
from tandem_export.targets.onnx.lower.shaping import broadcasting, cast

_OPERATORS = {
    "add": "Add",
    "and": "And",
    "cos": "Cos",
    "div": "Div",
    "eq": "Equal",
    "exp": "Exp",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tanh": "Tanh",
}
# What leaves the other operand as it is: on the right, and on the left where the order is free.
_NEUTRAL = {"add": 0, "sub": 0, "mul": 1, "div": 1}
_COMMUTATIVE = ("add", "mul")


def _plain(name: str, graph: GraphBuilder, equation: JaxprEqn, *operands: Value) -> Value:
    if name in _NEUTRAL:
        left, right = operands
        if _is(right, _NEUTRAL[name]):
            return left
        if name in _COMMUTATIVE and _is(left, _NEUTRAL[name]):
            return right
    return broadcasting(graph, _OPERATORS[name], *operands, dtype=_dtype(equation))


def _is(value: Value, number: int) -> bool:
    return value.constant is not None and bool(np.all(value.constant == number))


def _dtype(equation: JaxprEqn) -> np.dtype:
    return equation.outvars[0].aval.dtype


def _select(graph: GraphBuilder, equation: JaxprEqn, which: Value, *cases: Value) -> Value:
    no, yes = cases
    return broadcasting(graph, "Where", which, yes, no, dtype=_dtype(equation))


def _convert(graph: GraphBuilder, equation: JaxprEqn, x: Value) -> Value:
    return cast(graph, x, _dtype(equation))


def _rsqrt(graph: GraphBuilder, equation: JaxprEqn, x: Value) -> Value:
    one, root = graph.constant(1, x.dtype), graph.emit("Sqrt", x, shape=x.shape)
    return broadcasting(graph, "Div", one, root, dtype=x.dtype)


def _power(graph: GraphBuilder, equation: JaxprEqn, x: Value) -> Value:
    exponent = graph.constant(equation.params["y"], x.dtype)
    return broadcasting(graph, "Pow", x, exponent, dtype=x.dtype)


def _same(graph: GraphBuilder, equation: JaxprEqn, x: Value) -> Value:
    return x


LOWERINGS: dict[str, Callable[..., Value]] = {
    **{name: partial(_plain, name) for name in _OPERATORS},
    "convert_element_type": _convert,
    "integer_pow": _power,
    "rsqrt": _rsqrt,
    "select_n": _select,
    "stop_gradient": _same,
}
