"""Small random models that `transformers` makes, saved as folders; needs torch."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

os.environ.setdefault("HF_HUB_OFFLINE", "1")

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "eos_token_id": 2,
    "bos_token_id": 1,
    "pad_token_id": 0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
LINEAR = {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000.0}
# family -> (configuration class, what differs from SIZES)
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama2": ("LlamaConfig", {}),
    "llama3": (
        "LlamaConfig",
        {"rope_parameters": LLAMA3, "tie_word_embeddings": True, "rms_norm_eps": 1e-5},
    ),
    "llama3.1": (
        "LlamaConfig",
        {"rope_parameters": LLAMA3 | {"original_max_position_embeddings": 8192, "rope_theta": 5e5}},
    ),
    "llama-biases": ("LlamaConfig", {"attention_bias": True, "mlp_bias": True, "head_dim": 12}),
    "mistral": ("MistralConfig", {"sliding_window": 5, "head_dim": 12}),
    "qwen2.5": ("Qwen2Config", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e3}}),
    "qwen2.5-window": (
        "Qwen2Config",
        {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3Config", {"head_dim": 12, "tie_word_embeddings": True}),
    "gemma2": (
        "Gemma2Config",
        {
            "head_dim": 12,
            "sliding_window": 5,
            "query_pre_attn_scalar": 20,
            "attn_logit_softcapping": 1.5,
            "final_logit_softcapping": 2.0,
        },
    ),
    "gemma3": (
        "Gemma3TextConfig",
        {
            "head_dim": 12,
            "sliding_window": 5,
            "num_hidden_layers": 7,
            "query_pre_attn_scalar": 20,
            "rope_parameters": {
                "full_attention": LINEAR,
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            },
        },
    ),
}


@cache
def make(name: str) -> Any:
    """The model, float32, with weights large enough that every part of it matters."""
    import torch
    import transformers

    kind, own = MODELS[name]
    config = getattr(transformers, kind)(**SIZES | own)
    config._attn_implementation = "eager"  # the others leave soft-capping out
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.eval()
    with torch.no_grad():
        for part, value in model.named_parameters():
            _randomise(part, value)
    return model


def _randomise(name: str, value: Any) -> None:
    if value.ndim == 1:
        value.add_(value.new_empty(value.shape).normal_(0, 0.3))
    elif "embed" in name:
        value.normal_(0, 0.5)
    else:
        value.normal_(0, 1.2 * value.shape[1] ** -0.5)


@cache
def folder(name: str, shard: str = "5GB") -> Path:
    """The model as `save_pretrained` writes it."""
    path = Path(mkdtemp(prefix=f"{name}-"))
    make(name).save_pretrained(path, max_shard_size=shard)
    return path


def logits(name: str, tokens: np.ndarray) -> np.ndarray:
    """Logits `[B, T, V]` of `tokens` `[B, T]`, float32."""
    import torch

    with torch.no_grad():
        return make(name)(torch.tensor(tokens)).logits.numpy()


def cached_logits(name: str, tokens: np.ndarray, width: int) -> np.ndarray:
    """The same, block by block over the model's own cache."""
    import torch

    past, out = None, []
    with torch.no_grad():
        for at in range(0, tokens.shape[1], width):
            block = torch.tensor(tokens[:, at : at + width])
            done = make(name)(block, past_key_values=past, use_cache=True)
            past = done.past_key_values
            out.append(done.logits.numpy())
    return np.concatenate(out, 1)
