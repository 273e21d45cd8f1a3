"""int8 weights: what is stored, and that the model computes with what was stored."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from tandem_export.config import DecoderConfig
from tandem_export.graphs import BuildOptions, param_shapes, plan_graphs
from tandem_export.model import Int8, abstract, bind, joined, quantize, quantized_shapes
from tests.tiny import FAMILIES, TANDEM, alone, random_params


def test_a_matrix_by_hand() -> None:
    """Columns of largest value 127 and 2: scales 1 and 2/127, as bfloat16 holds it."""
    scale = float(ml_dtypes.bfloat16(2 / 127))
    made = quantize({"a.weight": np.array([[127.0, 2.0], [-5.4, 0.5]], np.float32)})
    np.testing.assert_array_equal(made["a.scale"], np.array([[1.0, scale]], np.float32))
    np.testing.assert_array_equal(made["a.weight"], [[127, 127], [-5, round(0.5 / scale)]])
    assert made["a.weight"].dtype == np.int8


def test_a_table_has_a_scale_for_each_row() -> None:
    table = np.array([[1.0, -2.0], [0.0, 0.0], [4.0, 3.0]], np.float32)
    made = quantize({"embedding.weight": table})
    assert made["embedding.scale"].shape == (3, 1)
    assert made["embedding.scale"][1, 0] == 1 and not made["embedding.weight"][1].any()


def test_the_error_is_at_most_half_a_step() -> None:
    weight = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    made = quantize({"x.weight": weight})
    error = np.abs(made["x.weight"] * made["x.scale"] - weight)
    # Scales are rounded to bfloat16: the largest value may lie 1/256 past 127 steps.
    assert np.all(error <= made["x.scale"] * (0.5 + 127 / 256) + 1e-6)
    assert np.mean(error <= made["x.scale"] * 0.5 + 1e-6) > 0.97


def test_norms_and_biases_stay() -> None:
    params = {"n.weight": np.ones(3, np.float32), "q.bias": np.ones(3, np.float32)}
    assert quantize(params) == params


@pytest.mark.parametrize("part", ["primary", "drafter"])
def test_shapes_are_those_of_the_tensors(part: str) -> None:
    planned = quantized_shapes(abstract(TANDEM, part))
    made = quantize({n: np.asarray(t) for n, t in random_params(TANDEM, part).items()})
    assert {n: (s.shape, s.dtype) for n, s in planned.items()} == {
        n: (t.shape, t.dtype) for n, t in made.items()
    }


def widened(params: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """Plain float parameters of the same values."""
    return {
        name: value.values.astype(jnp.float32) * value.scale
        if isinstance(value, Int8)
        else jnp.asarray(value)
        for name, value in joined({n: jnp.asarray(t) for n, t in params.items()}).items()
    }


@pytest.mark.parametrize("decoder", FAMILIES.values(), ids=FAMILIES.keys())
def test_a_decoder_computes_with_the_stored_values(decoder: DecoderConfig) -> None:
    config = alone(decoder)
    made = quantize({n: np.asarray(t) for n, t in random_params(config, "primary").items()})
    tokens = jnp.array([[3, 1, 16], [0, 2, 5]], jnp.int32)

    def logits(params) -> jax.Array:
        model = bind(config, "primary", params)
        x = model.embed(tokens)
        return model.logits(x + model.layers[0].ff(model.layers[0].ff_norm(x)))

    got = logits({name: jnp.asarray(value) for name, value in made.items()})
    np.testing.assert_allclose(got, logits(widened(made)), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("role", ["round_router", "prefill", "router"])
def test_a_graph_with_int8_weights(role) -> None:
    """Every graph takes int8 matrices and their scales, and its values are those of the widened."""
    options = BuildOptions(
        batch=(2,), gamma=(2,), prompt=(4,), cache=16, quantize="int8", roles=(role,)
    )
    graph = next(g for g in plan_graphs(TANDEM, options) if g.gamma != 0)
    stored = param_shapes(TANDEM, jnp.float32, "int8")
    assert all(graph.params[name] == stored[name] for name in graph.params)
    int8 = [name for name, leaf in graph.params.items() if leaf.dtype == jnp.int8]
    assert int8 and all(name.replace("weight", "scale") in graph.params for name in int8)
