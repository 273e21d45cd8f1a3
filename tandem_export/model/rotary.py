"""Rotary position embedding, split-half layout (Su et al. 2021), with the scalings in use."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from tandem_export.config import RopeConfig


def inverse_frequencies(head_size: int, config: RopeConfig, *, local: bool) -> np.ndarray:
    """Radians per position for each of the H / 2 pairs, float32.

    A local layer with its own theta is never scaled (Gemma 3).
    """
    own_theta = local and config.local_theta is not None
    theta = config.local_theta if own_theta else config.theta
    assert theta is not None
    freq = theta ** (-np.arange(0, head_size, 2, dtype=np.float64) / head_size)
    if own_theta or config.scaling == "none":
        return freq.astype(np.float32)
    if config.scaling == "linear":
        return (freq / config.factor).astype(np.float32)
    return _llama3(freq, config).astype(np.float32)


def _llama3(freq: np.ndarray, config: RopeConfig) -> np.ndarray:
    """Long wavelengths are divided by `factor`, short ones kept, the band between is blended."""
    wavelength = 2 * math.pi / freq
    turns = config.original_positions / wavelength
    span = config.high_freq_factor - config.low_freq_factor
    keep = np.clip((turns - config.low_freq_factor) / span, 0.0, 1.0)
    return freq * (keep + (1 - keep) / config.factor)


def rotate(
    x: Float[Array, "B T N H"], positions: Int[Array, "B T"], freq: np.ndarray
) -> Float[Array, "B T N H"]:
    """Turns each pair (x[i], x[i + H/2]) by position * freq[i]; computed in float32."""
    angle = positions.astype(jnp.float32)[..., None, None] * freq[None, None, None, :]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    half = x.shape[-1] // 2
    first, second = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)
    return turned.astype(x.dtype)
