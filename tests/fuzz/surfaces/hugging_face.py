"""A Llama of one layer as a Hugging Face folder, written by hand: torch takes seconds to load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, processors

WIDTH, HEADS, LAYERS, FF, WORDS = 8, 2, 1, 12, 12
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "intermediate_size": FF,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 1,
    "head_dim": WIDTH // HEADS,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 500.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
    "max_position_embeddings": 128,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": [2],
    "torch_dtype": "float32",
}
SETTINGS: dict[str, Any] = {
    "bos_token": "<bos>",
    "eos_token": {"content": "<eos>", "special": True},
    "chat_template": [{"name": "default", "template": "{{ messages }}"}],
    "added_tokens_decoder": {"2": {"content": "<eos>", "special": True}},
    "model_max_length": 128,
}
_SHAPES = {
    "model.embed_tokens.weight": (WORDS, WIDTH),
    "model.norm.weight": (WIDTH,),
    "lm_head.weight": (WORDS, WIDTH),
}
_LAYER = {
    "input_layernorm.weight": (WIDTH,),
    "post_attention_layernorm.weight": (WIDTH,),
    "self_attn.q_proj.weight": (WIDTH, WIDTH),
    "self_attn.k_proj.weight": (WIDTH // HEADS, WIDTH),
    "self_attn.v_proj.weight": (WIDTH // HEADS, WIDTH),
    "self_attn.o_proj.weight": (WIDTH, WIDTH),
    "mlp.gate_proj.weight": (FF, WIDTH),
    "mlp.up_proj.weight": (FF, WIDTH),
    "mlp.down_proj.weight": (WIDTH, FF),
}
_SHARD = "model-00001-of-00001.safetensors"


def write_folder(path: Path) -> None:
    """Config, one shard with its index, tokenizer, settings."""
    path.mkdir()
    layers = {f"model.layers.{j}.{n}": s for j in range(LAYERS) for n, s in _LAYER.items()}
    tensors = {name: np.ones(shape, np.float32) for name, shape in (_SHAPES | layers).items()}
    save_file(tensors, path / _SHARD)
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tensors, _SHARD)}
    documents = {
        "config.json": CONFIG,
        "tokenizer_config.json": SETTINGS,
        "generation_config.json": {"eos_token_id": 2},
        "model.safetensors.index.json": index,
        "tokenizer.json": json.loads(_tokenizer()),
    }
    for name, values in documents.items():
        (path / name).write_text(json.dumps(values))


def _tokenizer() -> str:
    words = ["<pad>", "<bos>", "<eos>", *(f"w{i}" for i in range(3, WORDS))]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<pad>"))
    made.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=["<bos>", "$A"], special_tokens=[("<bos>", 1)]
    )
    return made.to_str()
