from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.config import DecoderConfig
from tandem_export.model import Pass, attend, bind, causal_mask
from tests.model import reference
from tests.tiny import FAMILIES, GEMMA2, LLAMA, QWEN3, alone, random_params

TOKENS = jnp.array([[3, 1, 4, 1, 5, 9, 2, 6], [16, 0, 8, 8, 2, 11, 13, 7]])
FAMILY = pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES.keys())


@functools.partial(jax.jit, static_argnums=0)
def forward(config: DecoderConfig, params, tokens) -> tuple[jax.Array, Pass]:
    """The decoder over whole sequences, logits `[B, T, V]`."""
    model = bind(alone(config), "primary", params)
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)

    def see(layer, q, kv):
        part = (*kv, causal_mask(positions, positions, config.window(layer)))
        return attend(q, [part], scale=config.scale, softcap=config.attention_softcap), kv

    run = model.run(tokens, positions, see)
    return model.logits(run.activations[-1]).reshape(*tokens.shape, -1), run


def logits_with(tokens=TOKENS, base: DecoderConfig = LLAMA, **options) -> jax.Array:
    """Logits of `base` with some options; options that add no tensor leave the values alone."""
    config = dataclasses.replace(base, **options)
    return forward(config, random_params(alone(config), "primary"), tokens)[0]


@FAMILY
def test_every_family_matches_the_reference(config):
    params = random_params(alone(config), "primary")
    logits, run = forward(config, params, TOKENS)
    for row, tokens in enumerate(np.asarray(TOKENS)):
        want, activations = reference.decode(config, params, tokens)
        np.testing.assert_allclose(logits[row], want, rtol=1e-3, atol=1e-4)
        for got, x in zip(run.activations, activations, strict=True):
            rows = got.reshape(*TOKENS.shape, -1)[row]
            np.testing.assert_allclose(rows, x, rtol=1e-3, atol=1e-4)


@FAMILY
def test_kept_keys_and_values_have_the_cache_layout(config):
    params = random_params(alone(config), "primary")
    _, run = forward(config, params, TOKENS)
    assert len(run.kept) == config.num_layers
    exact = {name: np.asarray(value, np.float64) for name, value in params.items()}
    for layer, kept in enumerate(run.kept):
        assert isinstance(kept, tuple)
        x = np.asarray(run.activations[layer], np.float64).reshape(*TOKENS.shape, -1)[1]
        for got, kind in zip(kept, "kv", strict=True):
            want = reference.heads(x, exact, layer, kind, config)
            np.testing.assert_allclose(got[1], want.transpose(1, 0, 2), rtol=1e-3, atol=1e-4)


@FAMILY
def test_a_token_does_not_see_later_ones(config):
    params = random_params(alone(config), "primary")
    logits, _ = forward(config, params, TOKENS)
    other, _ = forward(config, params, TOKENS.at[:, 5:].set(12))
    np.testing.assert_array_equal(logits[:, :5], other[:, :5])
    assert not np.array_equal(logits[:, 5:], other[:, 5:])


def test_a_local_layer_forgets_what_left_its_window():
    # One local layer with a window of 3: token 7 sees 5, 6 and itself.
    local = {"num_layers": 1, "sliding_window": 3, "window_pattern": (True,)}
    changed = TOKENS.at[:, 4].set(12)
    near, far = logits_with(**local), logits_with(changed, **local)
    np.testing.assert_array_equal(near[:, 7], far[:, 7])
    assert not np.array_equal(near[:, 6], far[:, 6])


def test_the_window_pattern_repeats_over_the_depth():
    config = dataclasses.replace(GEMMA2, num_layers=5, window_pattern=(True, True, False))
    assert [config.window(layer) for layer in range(5)] == [3, 3, None, 3, 3]


@pytest.mark.parametrize(
    ("base", "options"),
    [
        pytest.param(LLAMA, {"query_scale": 1.0}, id="query-scale"),
        pytest.param(LLAMA, {"attention_softcap": 0.5}, id="attention-softcap"),
        pytest.param(LLAMA, {"logit_softcap": 0.5}, id="logit-softcap"),
        pytest.param(LLAMA, {"embedding_scale": 3.0}, id="embedding-scale"),
        pytest.param(LLAMA, {"activation": "gelu_tanh"}, id="activation"),
        pytest.param(LLAMA, {"norm_plus_one": True}, id="norm-plus-one"),
        pytest.param(LLAMA, {"norm_eps": 0.1}, id="norm-eps"),
        pytest.param(LLAMA, {"sliding_window": 2, "window_pattern": (True,)}, id="window"),
    ],
)
def test_every_option_reaches_the_logits(base, options):
    assert float(jnp.abs(logits_with(base=base) - logits_with(base=base, **options)).max()) > 1e-3


def test_the_logit_softcap_bounds_the_logits():
    assert float(jnp.abs(logits_with(logit_softcap=0.5)).max()) <= 0.5


def test_a_tied_head_is_the_embedding():
    params = random_params(alone(QWEN3), "primary")
    untied = params | {"head.weight": params["embedding.weight"].T}
    config = dataclasses.replace(QWEN3, tied_embedding=False)
    np.testing.assert_allclose(
        forward(QWEN3, params, TOKENS)[0], forward(config, untied, TOKENS)[0], atol=1e-6
    )


def test_bfloat16_weights_give_float32_logits_near_the_reference():
    params = random_params(alone(QWEN3), "primary")
    rounded = {name: value.astype(jnp.bfloat16) for name, value in params.items()}
    logits, run = forward(QWEN3, rounded, TOKENS)
    assert {x.dtype for x in run.activations} == {jnp.dtype("bfloat16")}
    assert logits.dtype == jnp.float32
    want, _ = reference.decode(QWEN3, rounded, np.asarray(TOKENS[0]))
    np.testing.assert_allclose(logits[0], want, atol=0.15)
