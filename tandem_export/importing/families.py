"""The families that can be read, and what each one means in a `DecoderConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tandem_export.errors import CheckpointError
from tandem_export.importing import names


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family.

    Attributes:
      hugging_face: its tensor names there.
      gguf: its `general.architecture`; None: stored as another family's.
      traits: the `DecoderConfig` fields that are the same for all its members.
      defaults: values that a Hugging Face `config.json` may leave out.
      local_layers: of every so many layers, all but the last see the sliding window only.
      scaled_embedding: the embedding is multiplied by the square root of its width.
    """

    hugging_face: Mapping[str, str] = field(default_factory=lambda: names.LLAMA)
    gguf: str | None = None
    traits: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    local_layers: int | None = None
    scaled_embedding: bool = False


_GEMMA = {"norm_plus_one": True, "post_norms": True, "activation": "gelu_tanh"}
_GEMMA_DEFAULTS = {
    "vocab_size": 262_208,
    "head_dim": 256,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "tie_word_embeddings": True,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "hidden_activation": "gelu_pytorch_tanh",
}

# By the `model_type` of Hugging Face. The defaults are those of its configuration classes.
FAMILIES: Mapping[str, Family] = {
    "llama": Family(gguf="llama"),
    "mistral": Family(
        defaults={"num_key_value_heads": 8, "sliding_window": 4096},
        local_layers=1,
    ),
    "qwen2": Family(gguf="qwen2", traits={"qkv_bias": True}),
    "qwen3": Family(gguf="qwen3", traits={"qk_norm": True}, defaults={"head_dim": 128}),
    "gemma2": Family(
        hugging_face=names.GEMMA,
        gguf="gemma2",
        traits=_GEMMA,
        defaults=_GEMMA_DEFAULTS
        | {
            "vocab_size": 256_000,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        local_layers=2,
        scaled_embedding=True,
    ),
    "gemma3_text": Family(
        hugging_face=names.GEMMA,
        gguf="gemma3",
        traits=_GEMMA | {"qk_norm": True},
        defaults=_GEMMA_DEFAULTS | {"rope_theta": 1e6, "rope_local_base_freq": 1e4},
        local_layers=6,
        scaled_embedding=True,
    ),
}


def family(name: str | None, where: str, *, gguf: bool = False) -> Family:
    """The family of a Hugging Face `model_type`, or of a GGUF architecture.

    Raises:
      CheckpointError: it is not one that can be read; the text lists those that are.
    """
    pairs = [(each.gguf if gguf else key, each) for key, each in FAMILIES.items()]
    known = {key: each for key, each in pairs if key is not None}
    if name is None or name not in known:
        what = "`general.architecture`" if gguf else "`model_type`"
        raise CheckpointError(f"{where}: {what} must be one of {sorted(known)}. Got: {name!r}")
    return known[name]


def is_local(pattern: int | None, layer: int) -> bool:
    """Whether a layer sees the window only: all but the last of every `pattern`; 1 is all."""
    return pattern is not None and (pattern == 1 or (layer + 1) % pattern != 0)
