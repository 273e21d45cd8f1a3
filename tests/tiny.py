"""Tiny configurations, one per model family, and random parameters for them."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from tandem_export.config import DecoderConfig, RopeConfig, RouterConfig, TandemConfig
from tandem_export.model import Params, shapes

LLAMA = DecoderConfig(
    vocab_size=17,
    num_layers=2,
    width=12,
    num_heads=4,
    num_kv_heads=2,
    head_size=4,
    ff_size=20,
    rope=RopeConfig(theta=50.0, scaling="llama3", factor=4.0, original_positions=16),
    norm_eps=1e-5,
    tied_embedding=False,
)
QWEN2 = dataclasses.replace(LLAMA, rope=RopeConfig(), qkv_bias=True, num_kv_heads=1)
QWEN3 = dataclasses.replace(
    LLAMA, rope=RopeConfig(theta=1000.0), qk_norm=True, num_kv_heads=4, tied_embedding=True
)
GEMMA2 = dataclasses.replace(
    LLAMA,
    rope=RopeConfig(theta=100.0),
    norm_plus_one=True,
    post_norms=True,
    activation="gelu_tanh",
    query_scale=0.4,
    attention_softcap=1.5,
    logit_softcap=2.0,
    sliding_window=3,
    window_pattern=(True, False),
    tied_embedding=True,
    embedding_scale=12**0.5,
)
GEMMA3 = dataclasses.replace(
    GEMMA2,
    num_layers=4,
    rope=RopeConfig(theta=1000.0, local_theta=10.0, scaling="linear", factor=8.0),
    qk_norm=True,
    attention_softcap=None,
    logit_softcap=None,
    window_pattern=(True, True, False),
)
YARN = RopeConfig(
    theta=50.0,
    scaling="yarn",
    factor=4.0,
    original_positions=64,
    beta_fast=4.0,
    attention_factor=1.25,
)
# Scaled from the fifth position on; the last two values of each head are not rotated.
DYNAMIC = RopeConfig(theta=50.0, scaling="dynamic", factor=3.0, original_positions=4, rotary_size=6)
EVERY_BIAS = dataclasses.replace(LLAMA, qkv_bias=True, output_bias=True, ff_bias=True)
FAMILIES = {
    "llama": LLAMA,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "gemma2": GEMMA2,
    "gemma3": GEMMA3,
    "every-bias": EVERY_BIAS,
    "yarn": dataclasses.replace(QWEN3, rope=YARN),
    "dynamic-partial": dataclasses.replace(LLAMA, head_size=8, rope=DYNAMIC),
}

DRAFTER = dataclasses.replace(
    QWEN3, num_layers=2, width=6, num_heads=2, num_kv_heads=1, head_size=4, ff_size=10
)
ROUTER = RouterConfig(top_k=3, hidden_size=5, tau=0.5)
TANDEM = TandemConfig(primary=LLAMA, drafter=DRAFTER, layer_map=(0, 2), router=ROUTER)
INDEPENDENT = TandemConfig(primary=LLAMA, drafter=DRAFTER, kind="independent")


def alone(decoder: DecoderConfig) -> TandemConfig:
    """A pair whose primary is `decoder`, for tests of one decoder."""
    return TandemConfig(primary=decoder, drafter=decoder, kind="independent")


def random_params(config: TandemConfig, part: str, seed: int = 0) -> Params:
    """Float32 parameters with no value left at its default: biases and norm weights vary too."""
    rng = np.random.default_rng(seed)
    drawn = {name: rng.normal(size=shape) for name, shape in shapes(config, part).items()}
    return {
        name: jnp.asarray(value if value.ndim == 1 else value * value.shape[0] ** -0.5, jnp.float32)
        for name, value in drawn.items()
    }
