"""Every primitive that has an ONNX form, beside jax, with the operators that it becomes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tandem_export.targets import LoweringError
from tandem_export.targets.onnx.lower.primitives import LOWERINGS
from tests.targets.onnx.lower.engines import ORIGIN, check, lowered, operators

RNG = np.random.default_rng(0)
X, Y = (RNG.normal(size=(2, 3)).astype(np.float32) for _ in range(2))
P = np.abs(X) + 1
CUBE = RNG.normal(size=(2, 3, 4)).astype(np.float32)
TABLE = RNG.normal(size=(5, 3)).astype(np.float32)
HEADS = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
IDS = np.array([4, 0, 2], np.int32)
COUNTS = np.array([[3, 0, 7], [1, 5, 2]], np.int32)
MASK = np.array([[True, False, True], [False, False, True]])


def rows(table: Any, ids: Any) -> Any:
    return table.at[ids].get(mode="promise_in_bounds", wrap_negative_indices=False)


def columns(table: Any, ids: Any) -> Any:
    return table.at[:, ids].get(mode="promise_in_bounds", wrap_negative_indices=False)


def wide_rows(table: Any, ids: Any) -> Any:
    return rows(table.astype(jnp.float32), ids)


def product(contract: Any, batch: Any = ((), ())) -> Any:
    return lambda x, y: lax.dot_general(x, y, (contract, batch))


def as_float(x: Any) -> Any:
    return lax.convert_element_type(x, jnp.float32)


def five_times(x: Any) -> Any:
    """`[2, 3]` as `[2, 5, 3]`."""
    return lax.broadcast_in_dim(x, (2, 5, 3), (0, 2))


def sum_of_five(x: Any) -> Any:
    return jnp.sum(five_times(x), 1)


def plus_two(x: Any) -> Any:
    return x + lax.broadcast_in_dim(jnp.float32(2), (2, 3), ())


def plus_range(x: Any) -> Any:
    return x + lax.iota(jnp.float32, 40)[None]


def plus_few(x: Any) -> Any:
    return x + lax.broadcasted_iota(jnp.float32, (2, 3), 0)


VALUES = HEADS.swapaxes(2, 3).copy()
BEHIND = CUBE.swapaxes(0, 1).copy()
EQUAL = np.array([[1, 3, 3], [2, 0, 1]], np.float32)
KEYS = ((3,), (3,)), ((0, 1), (0, 1))
MIXED = ((3,), (2,)), ((0, 1), (0, 1))
LATER = ((0,), (1,)), ((1,), (0,))

# What is tested: (function, arrays, operators).
CASES: dict[str, tuple[Any, tuple, str]] = {
    "add": (lax.add, (X, Y), "Add"),
    "and": (lax.bitwise_and, (MASK, ~MASK), "And"),
    "broadcast_in_dim": (five_times, (X,), "Expand Reshape"),
    "broadcast_in_dim of a number": (plus_two, (X,), "Add"),
    "concatenate": (lambda x, y: lax.concatenate([x, y, x], 1), (X, Y), "Concat"),
    "convert_element_type": (as_float, (COUNTS,), "Cast"),
    "convert_element_type, the same": (lambda x: lax.exp(as_float(x)), (X,), "Exp"),
    "div": (lax.div, (X, P), "Div"),
    "dot_general": (product(((1,), (0,))), (X, TABLE[:3]), "Gemm"),
    "dot_general, turned": (lambda x, y: x @ y.T, (X, TABLE), "Gemm"),
    "dot_general of three axes": (
        product(((2,), (0,))),
        (CUBE, CUBE[0].T.copy()),
        "Reshape Gemm Reshape",
    ),
    "dot_general over two axes": (
        product(((0, 1), (0, 1))),
        (CUBE, CUBE),
        "Transpose Reshape Reshape Gemm",
    ),
    "dot_general of keys": (product(*KEYS), (HEADS, HEADS), "Transpose MatMul"),
    "dot_general of values": (product(*MIXED), (HEADS, VALUES), "MatMul"),
    "dot_general, batch behind": (product(*LATER), (CUBE, BEHIND), "Transpose MatMul"),
    "exp": (lax.exp, (X,), "Exp"),
    "gather": (rows, (TABLE, IDS), "Gather"),
    "gather at places of two axes": (rows, (TABLE, COUNTS % 5), "Gather"),
    "gather of columns": (columns, (TABLE, IDS % 3), "Gather"),
    "gather of what is widened": (wide_rows, (COUNTS, IDS % 2), "Gather Cast"),
    "ge": (lax.ge, (COUNTS, COUNTS[::-1].copy()), "GreaterOrEqual"),
    "iota": (plus_range, (X[:, :1],), "Range Reshape Add"),
    "iota of few": (plus_few, (X,), "Add"),
    "log": (lax.log, (P,), "Log"),
    "logistic": (lax.logistic, (X,), "Sigmoid"),
    "lt": (lax.lt, (COUNTS, COUNTS[::-1].copy()), "Less"),
    "max": (lax.max, (X, Y), "Max"),
    "mul": (lax.mul, (X, Y), "Mul"),
    "neg": (lax.neg, (X,), "Neg"),
    "reduce_max": (lambda x: jnp.max(x, 1), (CUBE,), "ReduceMax Reshape"),
    "reduce_sum": (lambda x: jnp.sum(x, (0, 2)), (CUBE,), "ReduceSum Reshape"),
    "reduce_sum of repeats": (sum_of_five, (X,), "Reshape Expand ReduceSum Reshape"),
    "reshape": (lambda x: x.reshape(4, 6), (CUBE,), "Reshape"),
    "select_n": (lax.select, (MASK, X, Y), "Where"),
    "slice": (lambda x: x[:, 1:, 1:4:2], (CUBE,), "Slice"),
    "squeeze": (lambda x: lax.squeeze(x, (0,)), (X[None],), "Reshape"),
    "stop_gradient": (lambda x: lax.exp(lax.stop_gradient(x)), (X,), "Exp"),
    "sub": (lax.sub, (X, Y), "Sub"),
    "tanh": (lax.tanh, (X,), "Tanh"),
    "top_k": (lambda x: lax.top_k(x, 2), (EQUAL,), "TopK Cast"),
    "transpose": (lambda x: x.transpose(2, 0, 1), (CUBE,), "Transpose"),
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_operators(case):
    function, arrays, want = CASES[case]
    assert operators(check(function, *arrays)) == Counter(want.split())


def test_every_primitive_of_the_table_is_here():
    """The first word of each case is the primitive."""
    assert {case.split(" ")[0].strip(",") for case in CASES} == set(LOWERINGS)


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (lambda x: x + 0, "Exp"),
        (lambda x: 0 + x, "Exp"),
        (lambda x: x - 0, "Exp"),
        (lambda x: x * 1, "Exp"),
        (lambda x: 1 * x, "Exp"),
        (lambda x: x / 1, "Exp"),
        (lambda x: 0 - x, "Sub Exp"),
        (lambda x: 1 / x, "Div Exp"),
        (lambda x: x * 0, "Mul Exp"),
        (lambda x: x + jnp.arange(3, dtype=jnp.float32)[None], "Add Exp"),
    ],
)
def test_what_changes_nothing_is_not_there(function, left):
    assert operators(check(lambda x: jnp.exp(function(x)), X)) == Counter(left.split())


def biased(x, weight, bias):
    """The bias `[3]` of three columns."""
    return x @ weight + bias.reshape(1, -1)


def one_row_more(x, weight, bias):
    """Of one row: what is added is no bias, but another row."""
    return x[:1] @ weight + jnp.exp(x[:1]) + bias[None] * 2


def a_column(x, weight, bias):
    """A number for each row."""
    return x[:1] @ weight + bias.reshape(-1, 1)


@pytest.mark.parametrize(
    ("function", "want"),
    [
        (biased, "Gemm"),
        (one_row_more, "Slice Gemm Exp Add Reshape Mul Add"),
        (a_column, "Slice Gemm Reshape Add"),
    ],
)
def test_a_bias_is_part_of_its_product(function, want):
    bias = np.array([1, -2, 3], np.float32)
    model = check(function, X, RNG.normal(size=(3, 3)).astype(np.float32), bias)
    assert operators(model) == Counter(want.split())


@pytest.mark.parametrize(
    ("function", "array", "rule"),
    [
        (jnp.sort, X, r"operation `sort` in sort cannot be written as ONNX: known are add, "),
        (lambda x: x.at[jnp.array([0, 9])].get(mode="fill"), X, r"an index must be in bounds"),
        (lambda x: x[jnp.array([0, 1]), jnp.array([2, 0])], X, r"only places of one axis"),
    ],
)
def test_what_has_no_form_is_named(function, array, rule):
    with pytest.raises(LoweringError, match=rule) as caught:
        lowered(function, array)
    text = str(caught.value)
    assert text.startswith(f"{ORIGIN}: operation `") and "Got: " in text
    assert text.endswith("or add a lowering to tandem_export/targets/onnx/lower/primitives.")


def test_the_functions_around_it_are_named():
    @jax.jit
    def inner(x):
        return jnp.sort(x)

    @jax.jit
    def outer(x):
        return inner(x) + 1

    rule = r"operation `sort` in outer > inner.* Got: sort of float32\[2, 3\]\. Write that function"
    with pytest.raises(LoweringError, match=rule):
        lowered(outer, X)
