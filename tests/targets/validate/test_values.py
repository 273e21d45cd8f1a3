from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tandem_export.targets import ValueMismatchError
from tandem_export.targets.validate.case import POISON, draw_case
from tandem_export.targets.validate.rounding import FACTOR, FLOOR, allowances, check_distance, moved
from tandem_export.targets.validate.values import check_values
from tests.targets.toy import TOY, leaf, with_function


def compare(exported, graph):
    return check_values(graph, lambda *arguments: exported.call(*arguments), draw_case(graph))


def shifted(dtype, amount):
    """A graph, and an export whose output is `amount` off it."""
    shapes = {"x": leaf((4,), dtype)}

    def make(shift):
        def function(params, state, inputs):
            return {"y": inputs["x"] + jnp.asarray(shift, dtype)}, {}

        return function

    outputs = {"y": shapes["x"]}
    graph = with_function(make(0), params={}, state={}, inputs=shapes, outputs=outputs)
    return graph, export.export(jax.jit(make(amount)))({}, {}, shapes)


EPS = {jnp.float32: 2.0**-23, jnp.bfloat16: 2.0**-7, jnp.int32: 1}


@pytest.mark.parametrize(
    ("dtype", "fine", "wrong"),
    [(jnp.float32, FLOOR, 3 * FACTOR), (jnp.bfloat16, FLOOR, 3 * FACTOR), (jnp.int32, 0, 1)],
    ids=["float32", "bfloat16", "int32"],
)
def test_a_few_units_in_the_last_place_are_rounding(dtype, fine, wrong):
    graph, exported = shifted(dtype, fine * EPS[dtype])
    assert compare(exported, graph) <= 1.5 * FLOOR * EPS[dtype]
    graph, exported = shifted(dtype, wrong * EPS[dtype])
    with pytest.raises(ValueMismatchError, match=r"output 'y' must be within .* largest differ"):
        compare(exported, graph)


def test_what_is_moved_is_a_float_and_small():
    arrays = {
        "f": np.array([1.0, -3.0, 0.0, np.nan, np.inf], np.float32),
        "h": np.full(100, 2, jnp.bfloat16),
        "i": np.arange(3),
        "large": np.ones(1 << 17, np.float32),
        "poison": np.array([POISON["v"]], np.float32),
    }
    after = moved(arrays, np.random.default_rng(0))
    assert after["i"] is arrays["i"] and after["large"] is arrays["large"]
    assert after["poison"] == arrays["poison"]
    steps = np.abs(after["f"][:2] / arrays["f"][:2] - 1)
    assert (steps > 0).all() and (steps <= 2 * EPS[jnp.float32]).all()
    assert after["f"][2] == 0 and np.isnan(after["f"][3]) and np.isinf(after["f"][4])
    assert set(after["h"].astype(float)) == {2 - 2.0**-6, 2 + 2.0**-6}


def test_a_function_that_enlarges_rounding_may_differ_by_more():
    """30 layers that each multiply by the norm's weight, as a deep model does."""
    weight = np.linspace(1, 2, 64, dtype=np.float32)

    def run(params, inputs):
        x = inputs["x"]
        for _ in range(30):
            x = np.float32(3) * np.sin(x * params["norm"])
        return {"y": x}

    arguments = ({"norm": weight}, {"x": weight[::-1].copy()})
    want = run(*arguments)
    allowed = allowances(run, arguments, want)["y"]
    assert allowed > 100 * FLOOR * EPS[jnp.float32]
    assert check_distance("y", want["y"], want["y"] + np.float32(allowed / 4), allowed) > 0


def test_a_run_that_chose_another_token_says_nothing_of_rounding():
    def run(inputs):
        token = np.argmax(inputs["x"], keepdims=True)
        return {"token": token.astype(np.int32), "y": inputs["x"][:1] + 100 * token}

    tie = ({"x": np.ones(2, np.float32)},)
    allowed = allowances(run, tie, run(*tie))
    assert allowed["token"] == 0 and allowed["y"] < 1e-4


def test_a_difference_in_the_state_counts_too():
    def off(params, state, inputs):
        outputs, after = TOY.function(params, state, inputs)
        return outputs, after | {"position": after["position"] + 1}

    exported = export.export(jax.jit(off))(TOY.params, TOY.state, TOY.inputs)
    with pytest.raises(ValueMismatchError, match="toy_b2_t1: state 'position'"):
        compare(exported, TOY)


def test_infinities_in_the_same_place_are_equal():
    def function(params, state, inputs):
        return {"y": jnp.where(inputs["x"] > 0.5, -jnp.inf, inputs["x"])}, {}

    shapes = {"x": leaf((50,))}
    outputs = {"y": shapes["x"]}
    graph = with_function(function, params={}, state={}, inputs=shapes, outputs=outputs)
    exported = export.export(jax.jit(function))({}, {}, shapes)
    assert compare(exported, graph) == 0.0
