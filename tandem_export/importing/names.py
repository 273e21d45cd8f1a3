"""Name maps: this project's tensors on the left, a family's on the right; `{j}` counts layers.

Matrices of both formats are `[out, in]` and are transposed, embeddings are not.
"""

from __future__ import annotations

# Llama, Mistral, Qwen 2 and 3 in Hugging Face's naming.
LLAMA = {
    "embedding.weight": "model.embed_tokens.weight",
    "layers.{j}.attention_norm.weight": "model.layers.{j}.input_layernorm.weight",
    "layers.{j}.attention.q.weight": "model.layers.{j}.self_attn.q_proj.weight",
    "layers.{j}.attention.q.bias": "model.layers.{j}.self_attn.q_proj.bias",
    "layers.{j}.attention.k.weight": "model.layers.{j}.self_attn.k_proj.weight",
    "layers.{j}.attention.k.bias": "model.layers.{j}.self_attn.k_proj.bias",
    "layers.{j}.attention.v.weight": "model.layers.{j}.self_attn.v_proj.weight",
    "layers.{j}.attention.v.bias": "model.layers.{j}.self_attn.v_proj.bias",
    "layers.{j}.attention.q_norm.weight": "model.layers.{j}.self_attn.q_norm.weight",
    "layers.{j}.attention.k_norm.weight": "model.layers.{j}.self_attn.k_norm.weight",
    "layers.{j}.attention.o.weight": "model.layers.{j}.self_attn.o_proj.weight",
    "layers.{j}.attention.o.bias": "model.layers.{j}.self_attn.o_proj.bias",
    "layers.{j}.ff_norm.weight": "model.layers.{j}.post_attention_layernorm.weight",
    "layers.{j}.ff.gate.weight": "model.layers.{j}.mlp.gate_proj.weight",
    "layers.{j}.ff.gate.bias": "model.layers.{j}.mlp.gate_proj.bias",
    "layers.{j}.ff.up.weight": "model.layers.{j}.mlp.up_proj.weight",
    "layers.{j}.ff.up.bias": "model.layers.{j}.mlp.up_proj.bias",
    "layers.{j}.ff.down.weight": "model.layers.{j}.mlp.down_proj.weight",
    "layers.{j}.ff.down.bias": "model.layers.{j}.mlp.down_proj.bias",
    "final_norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}

# Gemma 2 and 3 norm what a block returns, too: `post_attention_layernorm` means another thing here.
GEMMA = LLAMA | {
    "layers.{j}.attention_post_norm.weight": "model.layers.{j}.post_attention_layernorm.weight",
    "layers.{j}.ff_norm.weight": "model.layers.{j}.pre_feedforward_layernorm.weight",
    "layers.{j}.ff_post_norm.weight": "model.layers.{j}.post_feedforward_layernorm.weight",
}

# Every family in GGUF's naming (gguf.constants.TENSOR_NAMES).
GGUF = {
    "embedding.weight": "token_embd.weight",
    "layers.{j}.attention_norm.weight": "blk.{j}.attn_norm.weight",
    "layers.{j}.attention.q.weight": "blk.{j}.attn_q.weight",
    "layers.{j}.attention.q.bias": "blk.{j}.attn_q.bias",
    "layers.{j}.attention.k.weight": "blk.{j}.attn_k.weight",
    "layers.{j}.attention.k.bias": "blk.{j}.attn_k.bias",
    "layers.{j}.attention.v.weight": "blk.{j}.attn_v.weight",
    "layers.{j}.attention.v.bias": "blk.{j}.attn_v.bias",
    "layers.{j}.attention.q_norm.weight": "blk.{j}.attn_q_norm.weight",
    "layers.{j}.attention.k_norm.weight": "blk.{j}.attn_k_norm.weight",
    "layers.{j}.attention.o.weight": "blk.{j}.attn_output.weight",
    "layers.{j}.attention.o.bias": "blk.{j}.attn_output.bias",
    "layers.{j}.attention_post_norm.weight": "blk.{j}.post_attention_norm.weight",
    "layers.{j}.ff_norm.weight": "blk.{j}.ffn_norm.weight",
    "layers.{j}.ff.gate.weight": "blk.{j}.ffn_gate.weight",
    "layers.{j}.ff.gate.bias": "blk.{j}.ffn_gate.bias",
    "layers.{j}.ff.up.weight": "blk.{j}.ffn_up.weight",
    "layers.{j}.ff.up.bias": "blk.{j}.ffn_up.bias",
    "layers.{j}.ff.down.weight": "blk.{j}.ffn_down.weight",
    "layers.{j}.ff.down.bias": "blk.{j}.ffn_down.bias",
    "layers.{j}.ff_post_norm.weight": "blk.{j}.post_ffw_norm.weight",
    "final_norm.weight": "output_norm.weight",
    "head.weight": "output.weight",
}
