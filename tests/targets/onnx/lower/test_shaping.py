"""Which changes of shape are written, and that values stay bit for bit."""

from __future__ import annotations

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_export.targets.onnx.lower.graph import GraphBuilder
from tandem_export.targets.onnx.lower.shaping import reshape_all
from tests.targets.onnx.lower.engines import check, operators

X = np.arange(6, dtype=np.float32).reshape(2, 3)
BLOCK = np.arange(24, dtype=np.float32).reshape(2, 1, 3, 4)
MASK = np.array([[True, False, True], [False, False, True]])


def chain(*shapes):
    def function(x):
        for shape in shapes:
            x = x.reshape(shape)
        return jnp.exp(x)

    return function


def around_a_sum(*shape, axis=1):
    return lambda x: x * jnp.sum(x, axis).reshape(shape)


def filled(mask_shape, value):
    """`x [2, 3]` filled as `[2, 1, 3]`, in its own shape again."""

    def function(x, mask):
        inner = x.reshape(2, 1, 3)
        return jnp.exp(jnp.where(mask.reshape(mask_shape), inner, value).reshape(2, 3))

    return function


def filled_by_group(x, mask):
    """Scores `[K, M, S]` of M = 2 * T queries, and a mask `[T, S]`."""
    split = jnp.where(mask[None, None], x.reshape(2, 2, 2, 3), -1.0)
    return jnp.exp(split.reshape(2, 4, 3))


def in_order(x):
    """The one token of a block moves before the heads, and no element moves."""
    return jnp.exp(x.transpose(0, 2, 1, 3).reshape(2, 12))


def rotated(x):
    return x.transpose(0, 3, 1, 2)


def there_and_back(x):
    return jnp.exp(jnp.broadcast_to(x, (4, 2, 3))[0] + x)


def of_a_number(x):
    """Nothing of a number that is broadcast is a node."""
    number = jnp.broadcast_to(jnp.float32(3), (5, 3, 2)).transpose(2, 0, 1).reshape(2, 15)
    return x + number[:, ::5]


GROUPED = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
CASES = {
    "one of a chain": (chain((6,), (1, 6), (3, 2)), (X,), "Reshape Exp"),
    "there and back": (chain((6,), (2, 3)), (X,), "Exp"),
    "back on the way": (chain((6,), (2, 3), (3, 2)), (X,), "Reshape Exp"),
    "a sum keeps its axis": (around_a_sum(2, 1), (X,), "ReduceSum Mul"),
    "the first axis": (around_a_sum(1, 3, axis=0), (X,), "ReduceSum Mul"),
    "a mask": (filled((2, 1, 3), -1.0), (X, MASK), "Where Exp"),
    "a smaller mask": (filled((1, 1, 3), -1.0), (X, MASK[:1]), "Where Exp"),
    "another array": (filled((2, 1, 3), X[:, None]), (X, MASK), "Where Exp"),
    "a mask for each group": (filled_by_group, (GROUPED, MASK), "Reshape Expand Reshape Where Exp"),
    "no element moves": (in_order, (BLOCK,), "Reshape Exp"),
    "elements move": (rotated, (BLOCK,), "Transpose"),
    "a broadcast is left to who reads it": (there_and_back, (X,), "Add Exp"),
    "a number": (of_a_number, (X,), "Add"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_left(case):
    function, arrays, left = CASES[case]
    model = check(function, *arrays)
    assert operators(model) == Counter(left.split())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_broadcast_array_is_reshaped_as_the_whole_one(data):
    """Constants are computed at once, so this needs no engine."""
    factors = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    before, after = (data.draw(runs(factors)) for _ in range(2))
    small = tuple(1 if data.draw(st.booleans()) else size for size in before)
    array = np.arange(np.prod(small), dtype=np.float32).reshape(small)
    graph = GraphBuilder()
    got = reshape_all(graph, graph.constant(array), before, after)
    assert len(got.shape) == len(after)
    if got.constant is not None:  # else it is more than is computed at once
        want = np.broadcast_to(array, before).reshape(after)
        np.testing.assert_array_equal(np.broadcast_to(got.constant, after), want)


@st.composite
def runs(draw, factors):
    """Sizes whose product is that of the factors: neighbours joined, and axes of size 1 between."""
    sizes: list[int] = []
    for factor in factors:
        if sizes and draw(st.booleans()):
            sizes[-1] *= factor
        else:
            sizes += [1] * draw(st.integers(0, 1)) + [factor]
    return tuple(sizes)


def test_a_mask_is_reshaped_once_for_all_layers():
    def layers(x, mask):
        return jax.tree.map(lambda y: filled_by_group(y, mask), [x, x + 1, x + 2])

    used = operators(check(layers, GROUPED, MASK))
    assert (used["Reshape"], used["Expand"], used["Where"]) == (2, 1, 3)
