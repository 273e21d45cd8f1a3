"""The small models that imports are tested with: a configuration of each, no weights."""

from __future__ import annotations

from typing import Any

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
VISION = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 2,
}
# name -> (configuration class, what differs from SIZES)
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
    "yarn": (
        "Qwen2Config",
        {
            "max_position_embeddings": 32,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 500.0,
                "factor": 4.0,
                "original_max_position_embeddings": 8,
                "beta_fast": 1.0,
                "beta_slow": 0.1,
            },
        },
    ),
    "dynamic": (
        "LlamaConfig",
        {
            "max_position_embeddings": 5,
            "rope_parameters": {"rope_type": "dynamic", "rope_theta": 500.0, "factor": 3.0},
        },
    ),
    "phi3": ("Phi3Config", {"partial_rotary_factor": 0.75, "sliding_window": 5}),
    "gemma": ("GemmaConfig", {"head_dim": 12}),
    "ministral": (
        "MinistralConfig",
        {
            "head_dim": 12,
            "sliding_window": 5,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
        },
    ),
    "internlm3": ("InternLM3Config", {"qkv_bias": True, "bias": True, "head_dim": 12}),
    "seed_oss": ("SeedOssConfig", {"head_dim": 12}),
    "gemma3-images": (
        "Gemma3Config",
        {
            "text_config": SIZES | {"head_dim": 12, "sliding_window": 5},
            "vision_config": VISION,
            "mm_tokens_per_image": 4,
            "image_token_index": 0,
        },
    ),
    "llava": (
        "LlavaConfig",
        {
            "text_config": SIZES | {"model_type": "llama"},
            "vision_config": VISION | {"model_type": "clip_vision_model"},
            "image_token_index": 0,
        },
    ),
    "mistral3": (
        "Mistral3Config",
        {
            "text_config": SIZES | {"model_type": "mistral", "head_dim": 12},
            "vision_config": VISION | {"model_type": "pixtral"},
            "image_token_index": 0,
        },
    ),
}
# In how many tokens a call each model is compared: all at once, and in blocks over its cache.
WIDTHS = (12, 4)
# The theta of `transformers` is that of the longest text of a call: one token a call has its own.
ONE_BY_ONE = {"dynamic": (1,)}
