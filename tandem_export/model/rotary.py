"""Rotary position embedding, split-half layout (Su et al. 2021), with the scalings in use."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from tandem_export.config import DecoderConfig, RopeConfig
from tandem_export.model.jitted import jit


def inverse_frequencies(size: int, config: RopeConfig, *, local: bool) -> np.ndarray:
    """Returns radians per position for each of the `size` / 2 pairs that are rotated, float32.

    A local layer with its own theta is never scaled (Gemma 3). `dynamic` frequencies are those of
    positions within the original ones.
    """
    own_theta = local and config.local_theta is not None
    theta = config.local_theta if own_theta else config.theta
    assert theta is not None
    freq = theta ** (-np.arange(0, size, 2, dtype=np.float64) / size)
    if own_theta or config.scaling in ("none", "dynamic"):
        return freq.astype(np.float32)
    if config.scaling == "linear":
        return (freq / config.factor).astype(np.float32)
    interpolated = (
        _share_of_yarn(size, config) if config.scaling == "yarn" else _share_of_llama3(freq, config)
    )
    return (freq * (interpolated + (1 - interpolated) / config.factor)).astype(np.float32)


def _share_of_llama3(freq: np.ndarray, config: RopeConfig) -> np.ndarray:
    """Returns the share of each frequency that is kept: 1 of short wavelengths, 0 of long ones."""
    wavelength = 2 * math.pi / freq
    turns = config.original_positions / wavelength
    span = config.high_freq_factor - config.low_freq_factor
    return np.clip((turns - config.low_freq_factor) / span, 0.0, 1.0)


def _share_of_yarn(size: int, config: RopeConfig) -> np.ndarray:
    """Returns the share of each frequency that is kept: 1 of the first pairs, 0 of the last."""
    # The pair, as a real number, that makes so many turns within the original positions.
    fast, slow = (
        size
        * math.log(config.original_positions / (turns * 2 * math.pi))
        / (2 * math.log(config.theta))
        for turns in (config.beta_fast, config.beta_slow)
    )
    if config.round_band:
        fast, slow = math.floor(fast), math.ceil(slow)
    # There are `size` / 2 pairs, but the authors' code bounds the band by `size` - 1, and so do all
    # that follow it: models were trained that way.
    first, last = max(fast, 0), min(slow, size - 1)
    span = last - first if last != first else 0.001
    return 1 - np.clip((np.arange(size // 2) - first) / span, 0.0, 1.0)


def apply_rotary(
    x: Float[Array, "B T N H"], positions: Int[Array, "B T"], config: DecoderConfig, *, local: bool
) -> Float[Array, "B T N H"]:
    """Rotates the first `rotary_size` values of each head by their positions."""
    rope, size = config.rope, config.rotary_size
    freq = inverse_frequencies(size, rope, local=local)
    # The factor is applied before the result is rounded to the rows' dtype.
    rows = x[..., :size] if rope.attention_factor == 1 else x[..., :size].astype(jnp.float32)
    if rope.scaling == "dynamic" and not (local and rope.local_theta is not None):
        rows = rotate_dynamic(rows, positions, freq, rope)
    else:
        rows = rotate(rows, positions, freq)
    if rope.attention_factor != 1:
        rows = (rows * rope.attention_factor).astype(x.dtype)
    return rows if size == x.shape[-1] else jnp.concatenate([rows, x[..., size:]], -1)


def rotate(
    x: Float[Array, "B T N H"], positions: Int[Array, "B T"], freq: np.ndarray
) -> Float[Array, "B T N H"]:
    """Turns each pair (x[i], x[i + H/2]) by position * freq[i]; computed in float32."""
    angle = positions.astype(jnp.float32)[..., None, None] * freq[None, None, None, :]
    return rotate_by_angle(x, angle)


def rotate_dynamic(
    x: Float[Array, "B T N H"], positions: Int[Array, "B T"], freq: np.ndarray, config: RopeConfig
) -> Float[Array, "B T N H"]:
    """Turns each pair as `rotate` does, by a theta that grows with the position ("dynamic NTK").

    A text of n positions beyond the original ones has theta * stretch(n) ** (H / (H - 2)). A key
    stays in the cache as it was rotated, so that each position has the theta of the text that ends
    there: that of decoding token by token, in whatever pieces a text is processed.
    """
    half = x.shape[-1] // 2
    length = positions.astype(jnp.float32)[..., None, None] + 1
    stretch = length * (config.factor / config.original_positions) - (config.factor - 1)
    slower = -np.arange(half, dtype=np.float32) / (half - 1)
    shrink = jnp.exp(jnp.log(jnp.maximum(stretch, 1.0)) * slower[None, None, None, :])
    return rotate_by_angle(x, (length - 1) * freq[None, None, None, :] * shrink)


@jit
def rotate_by_angle(
    x: Float[Array, "B T N H"], angle: Float[Array, "B T 1 _half"]
) -> Float[Array, "B T N H"]:
    """Turns each pair (x[i], x[i + H/2]) by angle[i]; computed in float32."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    half = x.shape[-1] // 2
    first, second = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)
    return turned.astype(x.dtype)
