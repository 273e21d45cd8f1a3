from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tandem_export.model.layers import FeedForward, Linear, RMSNorm
from tests.tiny import LLAMA

NO_EPS = dataclasses.replace(LLAMA, norm_eps=0.0)


def rms_norm(weight, **options):
    norm = RMSNorm(len(weight), dataclasses.replace(NO_EPS, **options))
    norm.weight[...] = jnp.asarray(weight)
    return norm


@pytest.mark.parametrize(
    ("plus_one", "gain"),
    [pytest.param(False, [2.0, -1.0], id="weight"), pytest.param(True, [3.0, 0.0], id="1+weight")],
)
def test_rms_norm_by_hand(plus_one, gain):
    # rms of (3, 4) is sqrt((9 + 16) / 2).
    y = rms_norm([2.0, -1.0], norm_plus_one=plus_one)(jnp.array([[3.0, 4.0]]))
    np.testing.assert_allclose(y[0], np.array([3.0, 4.0]) / math.sqrt(12.5) * gain, rtol=1e-6)


@pytest.mark.parametrize("plus_one", [False, True])
def test_a_new_rms_norm_only_normalises(plus_one):
    norm = RMSNorm(2, dataclasses.replace(NO_EPS, norm_plus_one=plus_one))
    y = norm(jnp.array([[3.0, 4.0]]))
    np.testing.assert_allclose(y[0], np.array([3.0, 4.0]) / math.sqrt(12.5), rtol=1e-6)


def test_eps_is_added_to_the_mean_square():
    y = rms_norm([1.0, 1.0], norm_eps=12.5)(jnp.array([[3.0, 4.0]]))
    np.testing.assert_allclose(y[0], [0.6, 0.8], rtol=1e-6)


def test_rms_norm_of_heads_normalises_the_last_axis_only():
    x = jnp.arange(1.0, 25.0).reshape(2, 2, 3, 2)
    y = rms_norm([2.0, 1.0])(x)
    np.testing.assert_allclose(y[1, 0, 2], rms_norm([2.0, 1.0])(x[1, 0, 2][None])[0], rtol=1e-6)


def test_rms_norm_computes_in_float32_and_returns_the_rows_dtype():
    # 300 ** 2 is beyond float16: squares taken in the rows' own dtype would overflow.
    y = rms_norm([1.0, 1.0])(jnp.array([[300.0, 300.0]], jnp.float16))
    assert y.dtype == jnp.float16
    np.testing.assert_array_equal(y[0], [1.0, 1.0])


def linear(weight, bias=None):
    weight = jnp.asarray(weight)
    layer = Linear(*weight.shape, bias=bias is not None, rngs=nnx.Rngs(0))
    layer.weight[...] = weight
    if layer.bias is not None:
        layer.bias[...] = jnp.asarray(bias)
    return layer


def test_linear_by_hand():
    layer = linear([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [0.5, 0.0, -0.5])
    np.testing.assert_array_equal(
        layer(jnp.array([[1.0, 0.0], [1.0, 1.0]])), [[1.5, 2.0, 2.5], [5.5, 7.0, 8.5]]
    )


def test_linear_has_no_bias_unless_asked():
    assert Linear(2, 3, rngs=nnx.Rngs(0)).bias is None


@pytest.mark.parametrize(
    ("activation", "of_two"),
    [
        pytest.param("silu", 2 / (1 + math.exp(-2)), id="silu"),
        # gelu(2) = 2 * Phi(2) is 1.9545; the tanh form gives 1.9546.
        pytest.param("gelu_tanh", 1.9545977, id="gelu"),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_feed_forward_by_hand(activation, of_two, bias):
    config = dataclasses.replace(LLAMA, width=1, ff_size=1, activation=activation, ff_bias=bias)
    ff = FeedForward(config, rngs=nnx.Rngs(0))
    # With a bias of 1 at the gate and a weight one less, the gate is 2 either way.
    ff.gate = linear([[1.0]], [1.0]) if bias else linear([[2.0]])
    ff.up = linear([[3.0]], [0.0] if bias else None)
    ff.down = linear([[5.0]], [7.0] if bias else None)
    want = of_two * 3.0 * 5.0 + (7.0 if bias else 0.0)
    np.testing.assert_allclose(ff(jnp.ones((1, 1))), [[want]], rtol=1e-6)


@pytest.mark.parametrize("bias", [False, True])
def test_feed_forward_biases_follow_the_config(bias):
    ff = FeedForward(dataclasses.replace(LLAMA, ff_bias=bias), rngs=nnx.Rngs(0))
    assert [layer.bias is not None for layer in (ff.gate, ff.up, ff.down)] == [bias] * 3
