"""Each named part of the model beside its function, as ONNX and as jax compute it."""

from __future__ import annotations

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.graphs import BuildOptions, plan_rows
from tandem_export.model.layers import gelu_tanh, rms_norm
from tandem_export.model.quantized import int8_product
from tandem_export.model.rotary import rotate
from tandem_export.targets.onnx.lower.parts import PARTS
from tests.targets.onnx.lower.engines import check, operators
from tests.tiny import FAMILIES, alone

RNG = np.random.default_rng(0)


def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
    return (RNG.normal(size=shape) * scale).astype(np.float32)


INT8 = RNG.integers(-127, 128, (6, 5)).astype(np.int8)
SCALE = np.abs(normal(5)) + np.float32(0.1)
ROW_SCALE = np.abs(normal(6, 1)) + np.float32(0.1)
POSITIONS = np.array([[0, 1, 2], [7, 8, 500]], np.int32)


def norm(x, gain):
    return rms_norm(x, gain, 1e-6)


def norm_of_small(x, gain):
    """Far smaller than the root of `eps`, which so decides."""
    return rms_norm(x * 1e-4, gain, 0.25)


def turned(x, positions):
    return rotate(x, positions, np.array([1.0, 0.3, 0.01], np.float32))


def table_product(x, values, scale):
    """A token table `[V, D]` as the head."""
    return int8_product(x, values.T, scale.reshape(-1))


ROTATION = "Cast Reshape Mul Reshape Cos Sin Reshape RotaryEmbedding Reshape"
TABLE = "Reshape DequantizeLinear Gemm"
THREE = "Reshape DequantizeLinear Gemm Reshape"
CASES = {
    "rms_norm": (norm, (normal(4, 6), normal(6)), "RMSNormalization"),
    "rms_norm of heads": (norm, (normal(2, 3, 4, 6), normal(6)), "RMSNormalization"),
    "rms_norm with eps": (norm_of_small, (normal(4, 6), normal(6)), "Mul RMSNormalization"),
    "rotate_by_angle": (turned, (normal(2, 3, 4, 6), POSITIONS), ROTATION),
    "rotate_by_angle of one head": (turned, (normal(2, 3, 1, 6), POSITIONS), ROTATION),
    "gelu_tanh": (gelu_tanh, (normal(4, 6, scale=3),), "Gelu"),
    "int8_product": (int8_product, (normal(4, 6), INT8, SCALE), "DequantizeLinear Gemm"),
    "int8_product of a table": (table_product, (normal(4, 5), INT8, ROW_SCALE), TABLE),
    "int8_product of three axes": (int8_product, (normal(2, 3, 6), INT8, SCALE), THREE),
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_operators(case):
    function, arrays, want = CASES[case]
    model = check(function, *arrays, atol=2e-5 if case.startswith("int8") else 2e-6)
    assert operators(model) == Counter(want.split())


def test_every_part_is_here():
    """The first word of each case is the part."""
    assert {case.split(" ")[0] for case in CASES} == set(PARTS)


def test_every_part_is_a_function_that_a_graph_calls():
    """A function of the model that is renamed would silently become its dozen operations."""
    options = BuildOptions(
        batch=(1,), gamma=(1,), prompt=(2,), quantize="int8", roles=("primary_block",)
    )
    called: set[str] = set()
    for family in FAMILIES.values():
        graph = plan_rows(alone(family), options)[0]
        closed = jax.make_jaxpr(graph.function)(graph.params, graph.state, graph.inputs)
        called |= names(closed.jaxpr)
    assert set(PARTS) <= called


def names(jaxpr) -> set[str]:
    calls = [equation.params for equation in jaxpr.eqns if equation.primitive.name == "jit"]
    inner = [names(call["jaxpr"].jaxpr) for call in calls]
    return {call["name"] for call in calls}.union(*inner)


def test_layers_share_the_angles_of_a_rotation():
    def both(x, y, positions):
        return turned(x, positions), turned(y, positions)

    used = operators(check(both, normal(2, 3, 4, 6), normal(2, 3, 2, 6), POSITIONS))
    assert (used["Cos"], used["Sin"], used["Mul"], used["RotaryEmbedding"]) == (1, 1, 1, 2)


def test_a_part_takes_whole_arrays():
    """Of what is broadcast, each place counts."""

    def step(x, gain):
        return rms_norm(jnp.broadcast_to(x, (4, 6)), jnp.broadcast_to(gain, (6,)), 1e-6)

    assert operators(check(step, normal(1, 6), normal(1)))["Expand"] == 2
