"""What is written once, not at all, or computed while the graph is built."""

from __future__ import annotations

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import onnx

from tests.targets.onnx.lower.engines import check, lowered, operators

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@jax.jit
def halves(x, y):
    return jnp.exp(x), jnp.tanh(y)


def test_equal_steps_are_there_once():
    model = check(lambda x: halves(x, x)[0] + halves(x, x + 1)[0], X)
    assert operators(model) == Counter(["Exp", "Add"])


def test_attributes_make_steps_differ():
    model = check(lambda x: jnp.concatenate([x, x], 0).sum() + jnp.concatenate([x, x], 1).sum(), X)
    assert operators(model)["Concat"] == 2


def test_what_no_output_needs_is_left_out():
    model = check(lambda x: halves(x, jnp.exp(x) * 7)[0], X)
    assert operators(model) == Counter(["Exp"])
    assert not model.graph.initializer


def test_an_input_that_nothing_reads_stays():
    """The caller gives it."""
    model = check(lambda x, y: jnp.exp(x), X, X)
    assert [value.name for value in model.graph.input] == ["x0", "x1"]


def test_outputs_that_are_inputs_constants_or_the_same():
    def function(x):
        y = jnp.exp(x)
        return y, y, x, jnp.ones((2,))

    model = check(function, X)
    assert operators(model) == Counter(["Exp", "Identity", "Identity", "Identity"])
    assert [value.name for value in model.graph.output] == ["y0", "y1", "y2", "y3"]


def test_small_constants_are_computed_and_large_ones_are_not_stored():
    def few(x):
        return x + jnp.exp(jnp.arange(3, dtype=jnp.float32) * 2)[None]

    def many(x):
        return x[:, :1] + jnp.exp(jnp.arange(300, dtype=jnp.float32) / 300)[None]

    assert operators(check(few, X)) == Counter(["Add"])
    model = check(many, X)
    assert operators(model)["Range"] == 1
    sizes = [onnx.numpy_helper.to_array(t).size for t in model.graph.initializer]
    assert max(sizes) <= 3


def test_equal_constants_are_there_once():
    model = check(lambda x: (x + 2.5) * 2.5 + jnp.exp(2.5 * x), X)
    assert len(model.graph.initializer) == 1


def test_an_array_that_a_function_closes_over_is_a_constant():
    table = np.arange(40, dtype=np.float32)
    model = lowered(lambda x: x[:, :1] * table[None], X)
    kept = [onnx.numpy_helper.to_array(t) for t in model.graph.initializer]
    assert any(np.array_equal(value.ravel(), table) for value in kept)


def test_names_are_unique_and_say_the_operator():
    def function(x):
        values, places = jax.lax.top_k(jnp.exp(x), 2)
        return values * 2, places + 1

    model = check(function, X)
    names = [name for node in model.graph.node for name in node.output]
    assert len({*names}) == len(names)
    assert [name.split("_")[0] for name in names[:3]] == ["Exp", "TopK", "TopK"]
