"""GGUF metadata as a `DecoderConfig`, read as llama.cpp reads it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from tandem_export.config import DecoderConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.families import Family, is_local
from tandem_export.importing.gguf.rope import rope_config
from tandem_export.importing.lazy import LazyTensor
from tandem_export.jsontypes import JsonObject
from tandem_export.storage import Fields

# Above every model of these families; what is beyond comes from a file that is no model.
_DEEP, _WIDE, _LARGE = 2**11, 2**16, 2**24
# The 27B models scale their queries by another size; GGUF tells them by their depth alone.
_WIDE_QUERIES = {"gemma2": 46, "gemma3": 62}
# Where the file is silent.
_DEFAULTS = {
    "gemma2": {
        "attention.sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
    "gemma3": {"rope.freq_base_swa": 10_000.0},
}


def decoder_config(
    fields: Fields,
    kind: Family,
    tensors: Collection[str],
    vocab_size: int,
    divisors: LazyTensor | None,
) -> DecoderConfig:
    """Returns the configuration of a GGUF file.

    Norms of Gemma are stored as 1 + weight, so `norm_plus_one` is off.

    Args:
      fields: the file's metadata.
      kind: the family of `general.architecture`.
      tensors: names of the file's tensors, which tell biases and a head of its own.
      vocab_size: rows of the embedding.
      divisors: `rope_freqs.weight` `[H / 2]`, if the file has it.

    Raises:
      CheckpointError: a setting that cannot be honoured, or is missing.
    """
    name = fields.text("general.architecture") or ""
    values = fields.under(f"{name}.", _DEFAULTS.get(name, {}))
    if values.integer("expert_count", 0, _LARGE):
        got = values.integer("expert_count", 0, _LARGE)
        raise CheckpointError(f"`{name}.expert_count` must be 0. Got: {got}")
    layers = _size(values, "block_count", _DEEP)
    heads, width = _size(values, "attention.head_count", _WIDE), _size(values, "embedding_length")
    head_size = _head_size(values, heads, width)
    wide = _WIDE_QUERIES.get(name) == layers
    epsilon = values.number("attention.layer_norm_rms_epsilon", 0, 1)
    settings = {
        "vocab_size": vocab_size,
        "num_layers": layers,
        "width": width,
        "num_heads": heads,
        "num_kv_heads": values.integer("attention.head_count_kv", 0, _WIDE) or heads,
        "head_size": head_size,
        "ff_size": _size(values, "feed_forward_length"),
        "norm_eps": values.require("attention.layer_norm_rms_epsilon", epsilon),
        "norm_plus_one": False,
        "query_scale": max(1, width // heads) ** -0.5 if wide else None,
        "attention_softcap": values.number("attn_logit_softcapping", 0, 1e9) or None,
        "logit_softcap": values.number("final_logit_softcapping", 0, 1e9) or None,
        "tied_embedding": "output.weight" not in tensors,
        "embedding_scale": width**0.5 if kind.scaled_embedding else 1.0,
        "qkv_bias": "blk.0.attn_q.bias" in tensors,
        "output_bias": "blk.0.attn_output.bias" in tensors,
        "ff_bias": "blk.0.ffn_gate.bias" in tensors,
    }
    rope = rope_config(values, head_size, divisors)
    return DecoderConfig(**dict(kind.traits) | settings, rope=rope, **_window(values, kind, layers))


def _size(values: Fields, key: str, high: int = _LARGE) -> int:
    return values.require(key, values.integer(key, 1, high))


def _head_size(values: Fields, heads: int, width: int) -> int:
    size = values.integer("attention.key_length", 1, _LARGE) or width // heads
    other = values.integer("attention.value_length", 1, _LARGE) or size
    if other != size:
        key = f"{values.prefix}attention.value_length"
        raise CheckpointError(f"`{key}` must be {size}, the length of keys. Got: {other}")
    return size


def _window(values: Fields, kind: Family, layers: int) -> JsonObject:
    size = values.integer("attention.sliding_window", 0, _LARGE)
    if kind.local_layers is None or not size:
        return {}
    return {"sliding_window": size, "window_pattern": _pattern(values, kind.local_layers, layers)}


def _pattern(values: Fields, every: int, layers: int) -> tuple[bool, ...]:
    """Returns which layers are local: listed one by one, or all but the last of every so many."""
    key = "attention.sliding_window_pattern"
    if isinstance(values.values.get(values.prefix + key), np.ndarray):
        listed = values.numbers(key, "iu") or []
        if len(listed) != layers:
            raise CheckpointError(
                f"`{values.prefix}{key}` must have one item for each of {layers} layers. "
                f"Got: {len(listed)}"
            )
        return tuple(map(bool, listed))
    every = values.integer(key, 1, _DEEP) or every
    return tuple(is_local(every, j) for j in range(layers))
