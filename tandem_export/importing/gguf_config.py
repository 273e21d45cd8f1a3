"""GGUF metadata as a `DecoderConfig`, read as llama.cpp reads it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tandem_export.config import DecoderConfig, RopeConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.families import Family, is_local
from tandem_export.model.rotary import inverse_frequencies

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
# GGUF stores what Llama 3 divides each frequency by, not the rule. The rules that were released:
# factor, low and high frequency factor, original positions.
_LLAMA3 = ((8.0, 1.0, 4.0, 8192), (32.0, 1.0, 4.0, 8192))


def decoder_config(
    fields: Mapping[str, Any],
    kind: Family,
    tensors: Collection[str],
    vocab_size: int,
    divisors: np.ndarray | None,
) -> DecoderConfig:
    """The configuration of a GGUF file.

    Norms of Gemma are stored as 1 + weight, so `norm_plus_one` is off.

    Args:
      fields: key -> value, as Python values.
      kind: the family of `general.architecture`.
      tensors: names of the file's tensors, which tell biases and a head of its own.
      vocab_size: rows of the embedding.
      divisors: `rope_freqs.weight` `[H / 2]`, if the file has it.

    Raises:
      CheckpointError: a setting that cannot be honoured, or is missing.
    """
    name = fields["general.architecture"]
    values = _Values(name, fields, _DEFAULTS.get(name, {}))
    if values.get("expert_count"):
        raise CheckpointError(f"`{name}.expert_count` must be 0. Got: {values['expert_count']}")
    heads, width, layers = (
        values[key] for key in ("attention.head_count", "embedding_length", "block_count")
    )
    head_size = values.get("attention.key_length") or width // heads
    wide = _WIDE_QUERIES.get(name) == layers
    own = {
        "vocab_size": vocab_size,
        "num_layers": layers,
        "width": width,
        "num_heads": heads,
        "num_kv_heads": values.get("attention.head_count_kv") or heads,
        "head_size": head_size,
        "ff_size": values["feed_forward_length"],
        "norm_eps": values["attention.layer_norm_rms_epsilon"],
        "norm_plus_one": False,
        "query_scale": (width // heads) ** -0.5 if wide else None,
        "attention_softcap": values.get("attn_logit_softcapping"),
        "logit_softcap": values.get("final_logit_softcapping"),
        "tied_embedding": "output.weight" not in tensors,
        "embedding_scale": width**0.5 if kind.scaled_embedding else 1.0,
        "qkv_bias": "blk.0.attn_q.bias" in tensors,
        "output_bias": "blk.0.attn_output.bias" in tensors,
        "ff_bias": "blk.0.ffn_gate.bias" in tensors,
    }
    rope = _rope(values, head_size, divisors)
    return DecoderConfig(**dict(kind.traits) | own, rope=rope, **_window(values, kind, layers))


class _Values:
    """The settings under the architecture's own prefix."""

    def __init__(self, name: str, fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self._name, self._fields, self._defaults = name, fields, defaults

    def get(self, key: str) -> Any:
        value = self._fields.get(f"{self._name}.{key}", self._defaults.get(key))
        # Stored as float32: 1e-06 comes as 9.99999997e-07. The shortest decimal is what was meant.
        return float(str(np.float32(value))) if isinstance(value, float) else value

    def __getitem__(self, key: str) -> Any:
        value = self.get(key)
        if value is None:
            raise CheckpointError(f"the setting `{self._name}.{key}` is missing")
        return value


def _window(values: _Values, kind: Family, layers: int) -> dict[str, Any]:
    size = values.get("attention.sliding_window")
    if kind.local_layers is None or not size:
        return {}
    stored = values.get("attention.sliding_window_pattern")
    if isinstance(stored, list):
        return {"sliding_window": size, "window_pattern": tuple(map(bool, stored))}
    every = kind.local_layers if stored is None else stored
    return {
        "sliding_window": size,
        "window_pattern": tuple(is_local(every, j) for j in range(layers)),
    }


def _rope(values: _Values, head_size: int, divisors: np.ndarray | None) -> RopeConfig:
    theta = values.get("rope.freq_base") or 10_000.0
    own = {"theta": theta, "local_theta": values.get("rope.freq_base_swa")}
    kind = values.get("rope.scaling.type") or "none"
    if kind not in ("none", "linear"):
        rule = "'none' or 'linear', or Llama 3's by `rope_freqs.weight`"
        raise CheckpointError(f"`rope.scaling.type` must be {rule}. Got: {kind!r}")
    if divisors is not None:
        return _llama3(RopeConfig(**own), head_size, divisors)
    factor = values.get("rope.scaling.factor") or 1.0
    return RopeConfig(**own) if factor == 1 else RopeConfig(**own, scaling="linear", factor=factor)


def _llama3(plain: RopeConfig, head_size: int, divisors: np.ndarray) -> RopeConfig:
    """The rule whose divisors are those of the file."""
    base = inverse_frequencies(head_size, plain, local=False)
    for factor, low, high, positions in _LLAMA3:
        rope = RopeConfig(
            theta=plain.theta,
            scaling="llama3",
            factor=factor,
            low_freq_factor=low,
            high_freq_factor=high,
            original_positions=positions,
        )
        if np.allclose(base / inverse_frequencies(head_size, rope, local=False), divisors, 1e-4):
            return rope
    known = ", ".join(f"factor {factor:g}" for factor, *_ in _LLAMA3)
    raise CheckpointError(
        f"`rope_freqs.weight` must be of a Llama 3 scaling ({known}). "
        f"Got: divisors {divisors.min():g} .. {divisors.max():g}"
    )
