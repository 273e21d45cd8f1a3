"""A Hugging Face `config.json` as a `DecoderConfig`; both ways of writing rotary settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tandem_export.config import DecoderConfig, RopeConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.families import Family, is_local

_ACTIVATIONS = {"silu": "silu", "gelu_pytorch_tanh": "gelu_tanh"}
_ATTENTION = {"sliding_attention": True, "full_attention": False}
# Settings that change the model in a way that nothing here computes, with the values that do not.
_REFUSED = {
    "quantization_config": (None,),
    "use_bidirectional_attention": (None, False),
}


def decoder_config(given: Mapping[str, Any], kind: Family, where: str) -> DecoderConfig:
    """The configuration of a model of family `kind`; what `given` leaves out has its default.

    Raises:
      CheckpointError: a setting that cannot be honoured or is missing; the text lists what can.
      ConfigError: the values break a rule of `DecoderConfig`.
    """
    values = {**kind.defaults, **{k: v for k, v in given.items() if v is not None}}
    for name, harmless in _REFUSED.items():
        _choose(name, values.get(name), harmless, where)
    try:
        heads, width = values["num_attention_heads"], values["hidden_size"]
        head_size = values.get("head_dim") or width // heads
        layers = values["num_hidden_layers"]
        biased = bool(values.get("attention_bias"))
        own = {
            "vocab_size": values["vocab_size"],
            "num_layers": layers,
            "width": width,
            "num_heads": heads,
            "num_kv_heads": values.get("num_key_value_heads") or heads,
            "head_size": head_size,
            "ff_size": values["intermediate_size"],
            "norm_eps": values.get("rms_norm_eps", 1e-6),
            "tied_embedding": values.get("tie_word_embeddings", False),
            "query_scale": _query_scale(values, head_size),
            "attention_softcap": values.get("attn_logit_softcapping"),
            "logit_softcap": values.get("final_logit_softcapping"),
            "embedding_scale": width**0.5 if kind.scaled_embedding else 1.0,
            "output_bias": biased,
            "ff_bias": bool(values.get("mlp_bias")),
        }
    except KeyError as error:
        raise CheckpointError(f"{where}: the setting {error} is missing") from error
    traits = {"qkv_bias": biased} | dict(kind.traits)
    act = values.get("hidden_activation") or values.get("hidden_act", "silu")
    traits["activation"] = _ACTIVATIONS[_choose("hidden_act", act, _ACTIVATIONS, where)]
    window = _window(given, values, kind, layers, where)
    return DecoderConfig(**own, **traits, **window, rope=_rope(values, where))


def _choose(name: str, value: Any, allowed: Any, where: str) -> Any:
    if value not in allowed:
        raise CheckpointError(f"{where}: `{name}` must be one of {list(allowed)}. Got: {value!r}")
    return value


def _query_scale(values: Mapping[str, Any], head_size: int) -> float | None:
    scalar = values.get("query_pre_attn_scalar", head_size)
    return None if scalar == head_size else scalar**-0.5


def _window(
    given: Mapping[str, Any], values: Mapping[str, Any], kind: Family, layers: int, where: str
) -> dict[str, Any]:
    """`sliding_window` and `window_pattern`; a window that no layer uses is none."""
    # Mistral writes `null` for none, and leaves the key out for its default.
    size = given.get("sliding_window", values.get("sliding_window"))
    if values.get("layer_types"):
        types = [_choose("layer_types", t, _ATTENTION, where) for t in values["layer_types"]]
        pattern = tuple(_ATTENTION[t] for t in types)
    elif "use_sliding_window" in values:  # Qwen
        first = values.get("max_window_layers", 28) if values["use_sliding_window"] else layers
        pattern = tuple(j >= first for j in range(layers))
    else:
        every = values.get("sliding_window_pattern", kind.local_layers)
        pattern = tuple(is_local(every, j) for j in range(layers))
    if size is None or not any(pattern):
        return {}
    return {"sliding_window": size, "window_pattern": pattern}


def _rope(values: Mapping[str, Any], where: str) -> RopeConfig:
    """From `rope_parameters`, or the older `rope_theta` with `rope_scaling`."""
    whole = values.get("rope_parameters") or {}
    local = values.get("rope_local_base_freq")
    if "full_attention" in whole:  # one set for each kind of layer (Gemma 3)
        near = whole.get("sliding_attention") or {}
        _choose("rope_type", near.get("rope_type", "default"), ("default",), where)
        local, whole = near.get("rope_theta", local), whole["full_attention"]
    scaling = whole or values.get("rope_scaling") or {}
    theta = whole.get("rope_theta", values.get("rope_theta", 10_000.0))
    kinds = ("default", "linear", "llama3")
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    _choose("rope_type", kind, kinds, where)
    own: dict[str, Any] = {} if kind == "default" else {"factor": scaling["factor"]}
    if kind == "llama3":
        own |= {name: scaling[name] for name in ("low_freq_factor", "high_freq_factor")}
        own["original_positions"] = scaling["original_max_position_embeddings"]
    name = "none" if kind == "default" else kind
    return RopeConfig(theta=theta, local_theta=local, scaling=name, **own)
