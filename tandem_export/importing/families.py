"""The families that can be read, and what each one means in a `DecoderConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tandem_export.errors import CheckpointError
from tandem_export.importing import names
from tandem_export.jsontypes import Json

# A setting of `config.json` -> the `DecoderConfig` fields that it switches on.
Biases = Mapping[str, tuple[str, ...]]
_ATTENTION_BIAS: Biases = {"attention_bias": ("qkv_bias", "output_bias")}
_LLAMA_BIASES = {**_ATTENTION_BIAS, "mlp_bias": ("ff_bias",)}


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family.

    Attributes:
      hugging_face: its tensor names there.
      gguf: its `general.architecture`; None: stored as another family's.
      traits: the `DecoderConfig` fields that are the same for all its members.
      defaults: values that a Hugging Face `config.json` may leave out.
      biases: the settings there that are of biases.
      activations: the names of activations there -> those of `DecoderConfig`.
      scalings: the rotary scalings that have their usual meaning in this family.
      local_layers: the period of the attention pattern: in each group of this many layers, all but
        the last use the sliding window.
      scaled_embedding: the embedding is multiplied by the square root of its width.
      fused: q, k and v are one tensor there, and so are gate and up.
    """

    hugging_face: Mapping[str, str] = field(default_factory=lambda: names.LLAMA)
    gguf: str | None = None
    traits: Mapping[str, Json] = field(default_factory=dict)
    defaults: Mapping[str, Json] = field(default_factory=dict)
    biases: Biases = field(default_factory=dict)
    activations: Mapping[str, str] = field(
        default_factory=lambda: {"silu": "silu", "gelu_pytorch_tanh": "gelu_tanh"}
    )
    scalings: tuple[str, ...] = ("default", "linear", "llama3", "yarn", "dynamic")
    local_layers: int | None = None
    scaled_embedding: bool = False
    fused: bool = False


_GEMMA = {"norm_plus_one": True, "activation": "gelu_tanh"}
_GEMMA_2 = {**_GEMMA, "post_norms": True}
_GEMMA_DEFAULTS = {
    "vocab_size": 256_000,
    "head_dim": 256,
    "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
}
_GEMMA_2_DEFAULTS = {
    **_GEMMA_DEFAULTS,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "hidden_activation": "gelu_pytorch_tanh",
}
_MISTRAL_DEFAULTS = {
    "num_key_value_heads": 8,
    "sliding_window": 4096,
    "max_position_embeddings": 131_072,
}

# By the `model_type` of Hugging Face. The defaults are those of its configuration classes.
FAMILIES: Mapping[str, Family] = {
    "llama": Family(gguf="llama", biases=_LLAMA_BIASES, defaults={"max_position_embeddings": 2048}),
    "mistral": Family(defaults=_MISTRAL_DEFAULTS, local_layers=1),
    "ministral": Family(defaults=_MISTRAL_DEFAULTS, local_layers=1),
    "internlm3": Family(
        # The names of the released files, and those that `transformers` writes.
        biases={
            **_LLAMA_BIASES,
            "qkv_bias": _ATTENTION_BIAS["attention_bias"],
            "bias": ("ff_bias",),
        },
        defaults={
            "num_key_value_heads": 2,
            "head_dim": 128,
            "rms_norm_eps": 1e-5,
            "max_position_embeddings": 32_768,
        },
    ),
    "seed_oss": Family(
        biases={
            "attention_bias": ("qkv_bias",),
            "attention_out_bias": ("output_bias",),
            "mlp_bias": ("ff_bias",),
        },
        defaults={
            "attention_bias": True,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "max_position_embeddings": 524_288,
        },
    ),
    "phi3": Family(
        defaults={"rms_norm_eps": 1e-5, "max_position_embeddings": 4096},
        # There `yarn` and `su` are old names of `longrope`.
        scalings=("default", "linear", "llama3", "dynamic"),
        local_layers=1,
        fused=True,
    ),
    "qwen2": Family(
        gguf="qwen2", traits={"qkv_bias": True}, defaults={"max_position_embeddings": 32_768}
    ),
    "qwen3": Family(
        gguf="qwen3",
        traits={"qk_norm": True},
        biases=_ATTENTION_BIAS,
        defaults={"head_dim": 128, "max_position_embeddings": 32_768},
    ),
    "gemma": Family(
        traits=_GEMMA,
        biases=_ATTENTION_BIAS,
        # `gelu` stands in its first files, which were trained with the tanh form.
        activations={"gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu_tanh"},
        defaults={**_GEMMA_DEFAULTS, "hidden_act": "gelu_pytorch_tanh"},
        scaled_embedding=True,
    ),
    "gemma2": Family(
        hugging_face=names.GEMMA,
        gguf="gemma2",
        traits=_GEMMA_2,
        biases=_ATTENTION_BIAS,
        defaults={
            **_GEMMA_2_DEFAULTS,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        local_layers=2,
        scaled_embedding=True,
    ),
    "gemma3_text": Family(
        hugging_face=names.GEMMA,
        gguf="gemma3",
        traits={**_GEMMA_2, "qk_norm": True},
        biases=_ATTENTION_BIAS,
        defaults={
            **_GEMMA_2_DEFAULTS,
            "vocab_size": 262_208,
            "rope_theta": 1e6,
            "rope_local_base_freq": 1e4,
            "max_position_embeddings": 131_072,
        },
        local_layers=6,
        scaled_embedding=True,
    ),
}


def family(name: str | None, where: str, *, gguf: bool = False) -> Family:
    """Returns the family of a Hugging Face `model_type`, or of a GGUF architecture.

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
    """Returns whether a layer sees the window only: all but the last of every `pattern` layers."""
    return pattern is not None and (pattern == 1 or (layer + 1) % pattern != 0)
