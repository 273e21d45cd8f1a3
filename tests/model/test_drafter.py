from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.config import DecoderConfig, RopeConfig, TandemConfig
from tandem_export.model import Drafter, bind, shapes
from tests.model import reference
from tests.tiny import GEMMA3, INDEPENDENT, TANDEM, random_params

# One layer, one head of two: small enough to follow with a pencil.
PENCIL = DecoderConfig(
    vocab_size=3, num_layers=1, width=2, num_heads=1, num_kv_heads=1, head_size=2, ff_size=2
)


def primary_activations(config: TandemConfig, T: int) -> list[np.ndarray]:
    """Random rows x^0 .. x^L of one sequence of length T."""
    rng = np.random.default_rng(7)
    shape = (config.primary.num_layers + 1, T, config.primary.width)
    return list(rng.normal(size=shape).astype(np.float32))


def test_prefix_key_value_by_hand():
    config = TandemConfig(
        primary=dataclasses.replace(PENCIL, width=3),
        drafter=dataclasses.replace(PENCIL, norm_eps=0.0),
        layer_map=(1,),
    )
    params = {name: jnp.zeros(shape) for name, shape in shapes(config, "drafter").items()} | {
        # (1, 2, 5) -> (3, 4), whose rms is sqrt(12.5); the norm's weight makes that (3, 4) * 2.
        "projection.0.weight": jnp.array([[1.0, 2.0], [1.0, 1.0], [0.0, 0.0]]),
        "layers.0.attention_norm.weight": jnp.full(2, 2 * 12.5**0.5),
        "layers.0.attention.k.weight": jnp.eye(2),
        "layers.0.attention.v.weight": jnp.array([[0.0, 1.0], [1.0, 0.0]]),
    }
    rows = [jnp.full((1, 3), jnp.nan), jnp.array([[1.0, 2.0, 5.0]])]
    drafter: Drafter = bind(config, "drafter", params)
    ((k, v),) = drafter.prefix_key_value(rows, jnp.array([[1]]))
    # One position on, the only pair turns by one radian.
    turned = (6 + 8j) * np.exp(1j)
    np.testing.assert_allclose(k.reshape(-1), [turned.real, turned.imag], rtol=1e-5)
    np.testing.assert_allclose(v.reshape(-1), [8.0, 6.0], rtol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(TANDEM, id="qwen3-drafter"),
        pytest.param(
            dataclasses.replace(TANDEM, drafter=GEMMA3, layer_map=(2, 0, 1, 2)),
            id="gemma3-drafter",
        ),
    ],
)
def test_prefix_key_value_matches_the_reference(config):
    params = random_params(config, "drafter")
    x = primary_activations(config, T=5)
    drafter: Drafter = bind(config, "drafter", params)
    got = drafter.prefix_key_value([jnp.asarray(rows) for rows in x], jnp.arange(5)[None])
    exact = {name: np.asarray(value, np.float64) for name, value in params.items()}
    for layer, source in enumerate(config.layer_map):
        projected = x[source] @ exact[f"projection.{layer}.weight"]
        for cached, kind in zip(got[layer], "kv", strict=True):
            want = reference.heads(projected, exact, layer, kind, config.drafter)
            np.testing.assert_allclose(cached[0], want.transpose(1, 0, 2), rtol=1e-4, atol=1e-5)


def test_projected_rows_are_treated_as_the_drafters_own():
    drafter: Drafter = bind(TANDEM, "drafter", random_params(TANDEM, "drafter"))
    x = [jnp.asarray(rows) for rows in primary_activations(TANDEM, T=4)]
    positions = jnp.arange(4)[None]
    prefix = drafter.prefix_key_value(x, positions)
    for layer, source in enumerate(TANDEM.layer_map):
        own = drafter.layers[layer].key_value(drafter.projection[layer](x[source]), positions)
        for got, want in zip(prefix[layer], own, strict=True):
            np.testing.assert_array_equal(got, want)


def test_positions_are_absolute():
    config = dataclasses.replace(
        TANDEM, drafter=dataclasses.replace(TANDEM.drafter, rope=RopeConfig())
    )
    drafter: Drafter = bind(config, "drafter", random_params(config, "drafter"))
    x = [jnp.asarray(rows) for rows in primary_activations(config, T=4)]
    whole = drafter.prefix_key_value(x, jnp.arange(4)[None])
    tail = drafter.prefix_key_value([rows[2:] for rows in x], jnp.array([[2, 3]]))
    for (k, v), (k_tail, v_tail) in zip(whole, tail, strict=True):
        np.testing.assert_allclose(k[:, :, 2:], k_tail, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(v[:, :, 2:], v_tail, rtol=1e-5, atol=1e-6)


def test_an_independent_drafter_has_no_projections():
    assert not [name for name in shapes(INDEPENDENT, "drafter") if "projection" in name]
