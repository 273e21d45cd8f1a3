"""The rotary embedding of a GGUF file, read as llama.cpp reads it (`load_hparams`)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tandem_export.config import RopeConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.lazy import LazyTensor
from tandem_export.jsontypes import JsonObject
from tandem_export.model import inverse_frequencies
from tandem_export.storage import Fields

# GGUF stores what Llama 3 divides each frequency by, not the rule. The rules that were released:
# factor, low and high frequency factor, original positions.
_LLAMA3 = ((8.0, 1.0, 4.0, 8192), (32.0, 1.0, 4.0, 8192))
# llama.cpp computes no part of a rotation for these.
_ALL_ROTATED = ("llama", "qwen2", "qwen3")


def rope_config(values: Fields, head_size: int, divisors: LazyTensor | None) -> RopeConfig:
    """Returns the rotary embedding that a file's settings describe.

    Args:
      values: the settings under the architecture's prefix.
      head_size: values of a head.
      divisors: `rope_freqs.weight` `[R / 2]` of R rotated values, if the file has it.

    Raises:
      CheckpointError: a setting that cannot be honoured, or is missing.
    """
    theta = values.number("rope.freq_base", 0, 1e30) or 10_000.0
    local = values.number("rope.freq_base_swa", 0, 1e30) or None
    plain = RopeConfig(theta=theta, local_theta=local, rotary_size=_rotary_size(values, head_size))
    # Without a type, a factor is linear (llama.cpp's `load_hparams`).
    kind = values.text("rope.scaling.type") or "linear"
    if kind not in ("none", "linear", "yarn"):
        rule = "'none', 'linear' or 'yarn', or Llama 3's by `rope_freqs.weight`"
        raise CheckpointError(f"`{values.prefix}rope.scaling.type` must be {rule}. Got: {kind!r}")
    if divisors is not None:
        return _llama3(plain, head_size, divisors)
    factor = _factor(values)
    if factor == 1 or kind == "none":
        return plain
    settings = _yarn(values, factor) if kind == "yarn" else {}
    return dataclasses.replace(plain, scaling=kind, factor=factor, **settings)


def _rotary_size(values: Fields, head_size: int) -> int | None:
    """Returns how many values of a head are rotated; None is all."""
    key, name = "rope.dimension_count", values.prefix.removesuffix(".")
    size = values.integer(key, 0, 2**24) or head_size
    if size != head_size and name in _ALL_ROTATED:
        raise CheckpointError(f"`{name}.{key}` must be the head size {head_size}. Got: {size}")
    return None if size == head_size else size


def _yarn(values: Fields, factor: float) -> JsonObject:
    """Returns what ggml's `rope_yarn` computes with."""
    key = "rope.scaling.original_context_length"
    positions = values.integer(key, 1, 2**31 - 1) or values.integer("context_length", 1, 2**31 - 1)
    attention = values.number("rope.scaling.attn_factor", 0, 1e6) or 1.0
    return {
        "original_positions": values.require(key, positions),
        "attention_factor": attention * (1 + 0.1 * math.log(factor)),
        "beta_fast": values.number("rope.scaling.yarn_beta_fast", 0, 1e6) or 32.0,
        "beta_slow": values.number("rope.scaling.yarn_beta_slow", 0, 1e6) or 1.0,
    }


def _factor(values: Fields) -> float:
    """Reads a factor under its name, or under the one that it had before 2023-11; 0 is none."""
    key = "rope.scaling.factor" if "rope.scaling.factor" in values else "rope.scale_linear"
    return values.number(key, 0, 1e6) or 1.0


def _llama3(plain: RopeConfig, head_size: int, tensor: LazyTensor) -> RopeConfig:
    """Returns the rule whose divisors are those of the file."""
    size = plain.rotary_size or head_size
    if tensor.shape != (size // 2,):
        raise CheckpointError(
            f"tensor `rope_freqs.weight` must have shape {[size // 2]}, half of what is rotated. "
            f"Got: {list(tensor.shape)}"
        )
    divisors = np.asarray(tensor)
    base = inverse_frequencies(size, plain, local=False)
    for factor, low, high, positions in _LLAMA3:
        rope = dataclasses.replace(
            plain,
            scaling="llama3",
            factor=factor,
            low_freq_factor=low,
            high_freq_factor=high,
            original_positions=positions,
        )
        if np.allclose(base / inverse_frequencies(size, rope, local=False), divisors, 1e-4):
            return rope
    known = ", ".join(f"factor {factor:g}" for factor, *_ in _LLAMA3)
    raise CheckpointError(
        f"`rope_freqs.weight` must be of a Llama 3 scaling ({known}). "
        f"Got: divisors {divisors.min():g} .. {divisors.max():g}"
    )
