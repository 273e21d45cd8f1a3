from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.config import RopeConfig
from tandem_export.model.rotary import apply_rotary, inverse_frequencies, rotate
from tests.model import reference
from tests.tiny import FAMILIES

PLAIN = RopeConfig(theta=100.0)
LINEAR = RopeConfig(theta=100.0, scaling="linear", factor=4.0)
# The released Llama 3.1 configuration: with head size 128 all three bands are populated.
LLAMA3 = RopeConfig(theta=500_000.0, scaling="llama3", factor=8.0, original_positions=8192)
# The released Qwen 2.5 recipe for long texts, and one whose band is not rounded.
YARN = RopeConfig(theta=1e6, scaling="yarn", factor=4.0, original_positions=32_768)
YARN_EXACT = dataclasses.replace(YARN, theta=150_000.0, factor=32.0, original_positions=4096)
YARN_EXACT = dataclasses.replace(YARN_EXACT, round_band=False)
GEMMA3 = RopeConfig(theta=1e6, local_theta=1e4, scaling="linear", factor=8.0)


def test_frequencies_by_hand():
    # 100 ** (0, -2/4)
    np.testing.assert_allclose(inverse_frequencies(4, PLAIN, local=False), [1.0, 0.1], rtol=1e-6)


def test_linear_scaling_divides_every_frequency():
    np.testing.assert_allclose(
        inverse_frequencies(4, LINEAR, local=False), [0.25, 0.025], rtol=1e-6
    )


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize(
    "rope",
    [
        pytest.param(PLAIN, id="plain"),
        pytest.param(LINEAR, id="linear"),
        pytest.param(LLAMA3, id="llama3"),
        pytest.param(YARN, id="yarn"),
        pytest.param(YARN_EXACT, id="yarn-exact"),
        pytest.param(GEMMA3, id="gemma3"),
    ],
)
def test_frequencies_match_the_published_rules(rope, local):
    got = inverse_frequencies(128, rope, local=local)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, reference.frequencies(128, rope, local), rtol=1e-6)


def test_llama3_keeps_short_wavelengths_and_divides_long_ones():
    plain = inverse_frequencies(128, RopeConfig(theta=500_000.0), local=False)
    ratio = inverse_frequencies(128, LLAMA3, local=False) / plain
    wavelength = 2 * math.pi / plain
    np.testing.assert_allclose(ratio[wavelength < 8192 / 4], 1.0, rtol=1e-6)
    np.testing.assert_allclose(ratio[wavelength > 8192], 1 / 8, rtol=1e-6)
    between = ratio[(wavelength > 8192 / 4) & (wavelength < 8192)]
    assert between.size and np.all(np.diff(between) < 0)


def test_yarn_keeps_the_first_pairs_and_divides_the_last():
    plain = inverse_frequencies(128, RopeConfig(theta=1e6), local=False)
    ratio = inverse_frequencies(128, YARN, local=False) / plain
    turns = YARN.original_positions * plain / (2 * math.pi)
    np.testing.assert_allclose(ratio[turns > 40], 1.0, rtol=1e-6)
    np.testing.assert_allclose(ratio[turns < 0.8], 1 / 4, rtol=1e-6)
    between = ratio[(turns > 1.2) & (turns < 30)]
    assert between.size and np.all(np.diff(between) < 0)


def heads(positions, config):
    """`apply_rotary` of the same row of one head at every position, `[T, H]`."""
    x = np.random.default_rng(2).normal(size=config.head_size).astype(np.float32)
    rows = jnp.broadcast_to(jnp.asarray(x), (1, len(positions), 1, config.head_size))
    return x, np.asarray(apply_rotary(rows, jnp.array([positions]), config, local=False))[0, :, 0]


@pytest.mark.parametrize("name", ["yarn", "dynamic-partial", "llama"])
def test_heads_match_the_reference(name):
    positions = [0, 1, 3, 4, 5, 17, 40]
    x, rows = heads(positions, FAMILIES[name])
    for row, position in zip(rows, positions, strict=True):
        want = reference.rotate_head(x.astype(np.float64), position, FAMILIES[name], False)
        np.testing.assert_allclose(row, want, atol=2e-5)


def test_only_the_first_values_of_a_head_are_rotated_where_the_config_says_so():
    x, rows = heads([0, 7], FAMILIES["dynamic-partial"])
    assert (rows[:, 6:] == x[6:]).all() and (np.abs(rows[1, :6] - x[:6]) > 1e-3).all()


def test_dynamic_scaling_begins_past_the_original_positions():
    config = FAMILIES["dynamic-partial"]
    plain = dataclasses.replace(config, rope=dataclasses.replace(config.rope, scaling="none"))
    (_, got), (_, want) = heads(range(8), config), heads(range(8), plain)
    np.testing.assert_allclose(got[:4], want[:4], atol=1e-6)
    assert (np.abs(got[4:] - want[4:]).max(1) > 1e-3).all()


def test_a_local_layer_with_its_own_theta_is_never_scaled():
    np.testing.assert_allclose(
        inverse_frequencies(4, GEMMA3, local=True), [1.0, 1e4**-0.5], rtol=1e-6
    )


def test_a_local_layer_without_its_own_theta_is_as_any_other():
    local, other = (inverse_frequencies(4, LINEAR, local=local) for local in (True, False))
    np.testing.assert_array_equal(local, other)


def test_a_quarter_turn_by_hand():
    # Pairs are (x[0], x[2]) and (x[1], x[3]); only the first is turned.
    x = jnp.array([1.0, 5.0, 2.0, 6.0]).reshape(1, 1, 1, 4)
    y = rotate(x, jnp.array([[1]]), np.array([math.pi / 2, 0.0], np.float32))
    np.testing.assert_allclose(y.reshape(-1), [-2.0, 5.0, 1.0, 6.0], atol=1e-6)


def test_rotation_is_multiplication_by_complex_numbers():
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 8)).astype(np.float32)
    positions = np.array([[0, 1, 2], [40, 41, 90]], np.int32)
    freq = inverse_frequencies(8, PLAIN, local=False)
    y = rotate(jnp.asarray(x), jnp.asarray(positions), freq)
    for b, t, n in np.ndindex(x.shape[:3]):
        want = reference.rotate(x[b, t, n], int(positions[b, t]), freq.tolist())
        np.testing.assert_allclose(y[b, t, n], want, atol=2e-5)


def test_scores_depend_on_distance_alone():
    q, k = np.random.default_rng(1).normal(size=(2, 1, 1, 1, 8)).astype(np.float32)
    freq = inverse_frequencies(8, PLAIN, local=False)

    def score(query_position, key_position):
        at = [jnp.array([[position]]) for position in (query_position, key_position)]
        return jnp.sum(rotate(jnp.asarray(q), at[0], freq) * rotate(jnp.asarray(k), at[1], freq))

    np.testing.assert_allclose(score(3, 1), score(53, 51), atol=1e-4)
    assert abs(score(3, 1) - score(3, 2)) > 1e-2


def test_the_rows_dtype_is_kept():
    y = rotate(
        jnp.ones((1, 1, 1, 4), jnp.bfloat16), jnp.array([[7]]), np.array([1.0, 0.1], np.float32)
    )
    assert y.dtype == jnp.bfloat16
