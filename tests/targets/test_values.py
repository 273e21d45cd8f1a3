from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tandem_export.targets import ValueMismatchError
from tandem_export.targets.values import TOLERANCE, check_values, random_values
from tests.targets.toy import TOY, leaf, with_function

SHAPES = {
    "f": leaf((200,)),
    "h": leaf((200,), jnp.bfloat16),
    "i": leaf((200,), jnp.int32),
    "u": leaf((200,), jnp.uint32),
    "scalar": leaf((), jnp.int32),
}


def test_random_values_have_the_shapes_and_suit_any_graph():
    drawn = random_values(SHAPES, np.random.default_rng(0))
    assert {name: (v.shape, v.dtype) for name, v in drawn.items()} == {
        name: (v.shape, v.dtype) for name, v in SHAPES.items()
    }
    assert set(drawn["i"]) == set(drawn["u"]) == {1, 2}
    for name in ("f", "h"):
        assert 0 < drawn[name].min() < 0.2 and 0.8 < drawn[name].max() < 1


def shifted(dtype, amount):
    """A graph, and an export whose output is `amount` off it."""
    shapes = {"x": leaf((4,), dtype)}

    def make(shift):
        def function(params, state, inputs):
            return {"y": inputs["x"] + jnp.asarray(shift, dtype)}, {}

        return function

    graph = with_function(make(0), params={}, state={}, inputs=shapes)
    return graph, export.export(jax.jit(make(amount)))({}, {}, shapes)


@pytest.mark.parametrize(
    ("dtype", "fine", "wrong"),
    [
        (jnp.float32, 0.5 * TOLERANCE["float32"], 3 * TOLERANCE["float32"]),
        (jnp.bfloat16, 0.5 * TOLERANCE["bfloat16"], 3 * TOLERANCE["bfloat16"]),
        (jnp.int32, 0, 1),
    ],
    ids=["float32", "bfloat16", "int32"],
)
def test_the_tolerance_is_per_dtype(dtype, fine, wrong):
    graph, exported = shifted(dtype, fine)
    assert check_values(exported, graph) <= TOLERANCE.get(jnp.dtype(dtype).name, 0)
    graph, exported = shifted(dtype, wrong)
    with pytest.raises(ValueMismatchError, match=r"output 'y' must be within .* largest differ"):
        check_values(exported, graph)


def test_a_difference_in_the_state_counts_too():
    def off(params, state, inputs):
        outputs, after = TOY.function(params, state, inputs)
        return outputs, after | {"position": after["position"] + 1}

    exported = export.export(jax.jit(off))(TOY.params, TOY.state, TOY.inputs)
    with pytest.raises(ValueMismatchError, match="toy_b2_t1: state 'position'"):
        check_values(exported, TOY)


def test_infinities_in_the_same_place_are_equal():
    def function(params, state, inputs):
        return {"y": jnp.where(inputs["x"] > 0.5, -jnp.inf, inputs["x"])}, {}

    shapes = {"x": leaf((50,))}
    graph = with_function(function, params={}, state={}, inputs=shapes)
    exported = export.export(jax.jit(function))({}, {}, shapes)
    assert check_values(exported, graph) == 0.0
