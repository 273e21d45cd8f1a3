"""A Hugging Face `config.json` as a `DecoderConfig`."""

from __future__ import annotations

from collections.abc import Mapping

from tandem_export.config import DEEPEST, LARGEST, DecoderConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.families import Family, is_local
from tandem_export.importing.hugging_face.rope import choose, rope_config
from tandem_export.jsontypes import Json, JsonObject
from tandem_export.storage import Fields

_ATTENTION = {"sliding_attention": True, "full_attention": False}


def decoder_config(given: Mapping[str, Json], kind: Family) -> DecoderConfig:
    """Returns the configuration of a model of family `kind`.

    What `given` leaves out has the family's default; null is none, as in `transformers`.

    Raises:
      CheckpointError: a setting that cannot be honoured, is missing, or of another kind or size;
        the text names it.
      ConfigError: the values break a rule of `DecoderConfig`.
    """
    values = Fields(values=given, error=CheckpointError, defaults=kind.defaults)
    _refuse_others(values)
    heads, width = _size(values, "num_attention_heads"), _size(values, "hidden_size")
    head_size = values.integer("head_dim", 1, LARGEST) or max(1, width // heads)
    layers = _size(values, "num_hidden_layers", DEEPEST)
    sizes = {
        "vocab_size": _size(values, "vocab_size"),
        "num_layers": layers,
        "width": width,
        "num_heads": heads,
        "num_kv_heads": values.integer("num_key_value_heads", 1, LARGEST) or heads,
        "head_size": head_size,
        "ff_size": _size(values, "intermediate_size"),
    }
    scales = {
        "norm_eps": _number(values, "rms_norm_eps", 1e-6),
        "query_scale": _query_scale(values, head_size),
        "attention_softcap": values.number("attn_logit_softcapping", 0, 1e9),
        "logit_softcap": values.number("final_logit_softcapping", 0, 1e9),
        "embedding_scale": width**0.5 if kind.scaled_embedding else 1.0,
    }
    traits = {
        **kind.traits,
        **_biases(values, kind),
        "activation": _activation(values, kind),
        "tied_embedding": bool(values.flag("tie_word_embeddings")),
    }
    rope = rope_config(values, kind, head_size)
    return DecoderConfig(**sizes, **scales, **traits, **_window(values, kind, layers), rope=rope)


def _refuse_others(values: Fields) -> None:
    """Refuses settings that change the model in a way that nothing here computes."""
    if "quantization_config" in values and values.values["quantization_config"] is not None:
        raise CheckpointError(
            "`quantization_config` must be null: quantised weights are read from GGUF alone. Pass "
            "the folder of the model that was quantised. Got: a `quantization_config`"
        )
    if values.flag("use_bidirectional_attention"):
        raise CheckpointError("`use_bidirectional_attention` must be false. Got: true")


def _size(values: Fields, name: str, most: int = LARGEST) -> int:
    return values.require(name, values.integer(name, 1, most))


def _number(values: Fields, name: str, otherwise: float) -> float:
    value = values.number(name, 0, 1e9)
    return otherwise if value is None else value


def _biases(values: Fields, kind: Family) -> dict[str, bool]:
    return {
        name: True
        for setting, switched in kind.biases.items()
        if values.flag(setting)
        for name in switched
    }


def _activation(values: Fields, kind: Family) -> str:
    name = "hidden_act" if values.text("hidden_activation") is None else "hidden_activation"
    value = values.text(name) or "silu"
    return kind.activations[choose(values, name, value, kind.activations)]


def _query_scale(values: Fields, head_size: int) -> float | None:
    scalar = values.number("query_pre_attn_scalar", 1e-9, 1e9)
    return None if scalar is None or scalar == head_size else scalar**-0.5


def _window(values: Fields, kind: Family, layers: int) -> JsonObject:
    """Returns `sliding_window` and `window_pattern`; a window that no layer uses is none."""
    size = values.integer("sliding_window", 1, LARGEST)
    pattern = _pattern(values, kind, layers)
    if size is None or not any(pattern):
        return {}
    return {"sliding_window": size, "window_pattern": pattern}


def _pattern(values: Fields, kind: Family, layers: int) -> tuple[bool, ...]:
    types = values.texts("layer_types")
    if types:
        return tuple(_ATTENTION[choose(values, "layer_types", t, _ATTENTION)] for t in types)
    used = values.flag("use_sliding_window")  # Qwen
    if used is not None:
        first = values.integer("max_window_layers", 0, LARGEST) if used else layers
        return tuple(j >= (28 if first is None else first) for j in range(layers))
    every = values.integer("sliding_window_pattern", 1, LARGEST) or kind.local_layers
    return tuple(is_local(every, j) for j in range(layers))
