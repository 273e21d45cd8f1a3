"""The decoder that serves as primary and as drafter.

It knows nothing of caches. What a layer attends to is the caller's: `attend(layer, q, (k, v))`
returns the attention output and whatever the caller wants to keep of that layer (new cache rows, a
written cache, nothing). Training, prefill, block verification and drafting are the same code with
another `attend`.

What a layer does apart from `attend` is in jitted functions of its parts: a graph holds each
once and calls it for every layer. The compilers inline the calls; what shrinks is the time to trace
a graph and its file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from tandem_export.config import DecoderConfig
from tandem_export.model.jitted import jit
from tandem_export.model.layers import FeedForward, Linear, RMSNorm
from tandem_export.model.rotary import apply_rotary

Kept = TypeVar("Kept")
KeyValue = tuple[Float[Array, "B K T H"], Float[Array, "B K T H"]]
# (layer, q [B, T, N, H], (k, v)) -> (attention output [B, T, N, H], what to keep of the layer)
Attend = Callable[[int, Float[Array, "B T N H"], KeyValue], tuple[Float[Array, "B T N H"], Kept]]


class Attention(nnx.Module):
    """Projections, QK norm and rotary embedding of one layer."""

    def __init__(self, config: DecoderConfig, layer: int, *, rngs: nnx.Rngs) -> None:
        N, K, H, D = config.num_heads, config.num_kv_heads, config.head_size, config.width
        self.q = Linear(D, N * H, bias=config.qkv_bias, rngs=rngs)
        self.k = Linear(D, K * H, bias=config.qkv_bias, rngs=rngs)
        self.v = Linear(D, K * H, bias=config.qkv_bias, rngs=rngs)
        self.o = Linear(N * H, D, bias=config.output_bias, rngs=rngs)
        self.q_norm = RMSNorm(H, config) if config.qk_norm else None
        self.k_norm = RMSNorm(H, config) if config.qk_norm else None
        self.head_size, self.local, self.config = H, config.is_local(layer), config

    def _rotated(self, x: Array, norm: RMSNorm | None, positions: Array) -> Array:
        x = x.reshape(*positions.shape, -1, self.head_size)
        x = x if norm is None else norm(x)
        return apply_rotary(x, positions, self.config, local=self.local)

    def query(
        self, h: Float[Array, "M D"], positions: Int[Array, "B T"]
    ) -> Float[Array, "B T N H"]:
        """Returns rotated queries of the normed rows `h`, M = B * T."""
        return self._rotated(self.q(h), self.q_norm, positions)

    def key_value(self, h: Float[Array, "M D"], positions: Int[Array, "B T"]) -> KeyValue:
        """Computes rotated keys, and values, of normed rows `h`, in cache layout `[B, K, T, H]`."""
        k = self._rotated(self.k(h), self.k_norm, positions)
        v = self.v(h).reshape(*positions.shape, -1, self.head_size)
        return k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)


class Layer(nnx.Module):
    """Pre-norm attention and feed-forward with residuals, post-norms by config."""

    def __init__(self, config: DecoderConfig, layer: int, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = RMSNorm(config.width, config)
        self.attention = Attention(config, layer, rngs=rngs)
        self.ff_norm = RMSNorm(config.width, config)
        self.ff = FeedForward(config, rngs=rngs)
        post = config.post_norms
        self.attention_post_norm = RMSNorm(config.width, config) if post else None
        self.ff_post_norm = RMSNorm(config.width, config) if post else None
        self.index = layer

    def key_value(self, x: Float[Array, "M D"], positions: Int[Array, "B T"]) -> KeyValue:
        """Returns keys and values that this layer makes of input rows `x`."""
        return _key_value(self.attention_norm, self.attention, x, positions)

    def __call__(
        self, x: Float[Array, "M D"], positions: Int[Array, "B T"], attend: Attend[Kept]
    ) -> tuple[Float[Array, "M D"], Kept]:
        """Returns the layer's output rows, and what `attend` kept."""
        q, kv = _query_key_value(self.attention_norm, self.attention, x, positions)
        mixed, kept = attend(self.index, q, kv)
        x = _add_attention(x, self.attention.o, mixed, self.attention_post_norm)
        return _add_feed_forward(x, self.ff_norm, self.ff, self.ff_post_norm), kept


@jit
def _key_value(norm: RMSNorm, attention: Attention, x: Array, positions: Array) -> KeyValue:
    return attention.key_value(norm(x), positions)


@jit
def _query_key_value(
    norm: RMSNorm, attention: Attention, x: Array, positions: Array
) -> tuple[Array, KeyValue]:
    h = norm(x)
    return attention.query(h, positions), attention.key_value(h, positions)


@jit
def _add_attention(x: Array, o: Linear, mixed: Array, post_norm: RMSNorm | None) -> Array:
    out = o(mixed.reshape(x.shape[0], -1))
    return x + (out if post_norm is None else post_norm(out))


@jit
def _add_feed_forward(x: Array, norm: RMSNorm, ff: FeedForward, post_norm: RMSNorm | None) -> Array:
    out = ff(norm(x))
    return x + (out if post_norm is None else post_norm(out))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Pass(Generic[Kept]):
    """One run of the layers.

    Attributes:
      activations: L + 1 arrays `[M, D]`: x^0 (the embedding) to x^L, before the final norm.
      kept: what `attend` returned, one per layer.
    """

    activations: list[Array]
    kept: list[Kept]


class Decoder(nnx.Module):
    """Embedding, layers, final norm, output head (tied or not)."""

    def __init__(self, config: DecoderConfig, *, rngs: nnx.Rngs) -> None:
        V, D = config.vocab_size, config.width
        self.embedding = Embedding(V, D, rngs=rngs)
        self.layers = nnx.List([Layer(config, j, rngs=rngs) for j in range(config.num_layers)])
        self.final_norm = RMSNorm(D, config)
        self.head = None if config.tied_embedding else Linear(D, V, rngs=rngs)
        self.config = config

    def embed(self, tokens: Int[Array, "B T"]) -> Float[Array, "M D"]:
        """Returns scaled input embedding, rows flattened to M = B * T."""
        rows = self.embedding.weight[...][tokens.reshape(-1)]
        return rows * jnp.asarray(self.config.embedding_scale, rows.dtype)

    def run(
        self, tokens: Int[Array, "B T"], positions: Int[Array, "B T"], attend: Attend[Kept]
    ) -> Pass[Kept]:
        """Runs every layer."""
        activations: list[Array] = [self.embed(tokens)]
        kept: list[Kept] = []
        for layer in self.layers:
            x, keep = layer(activations[-1], positions, attend)
            activations.append(x)
            kept.append(keep)
        return Pass(activations=activations, kept=kept)

    def logits(self, x: Float[Array, "*M D"]) -> Float[Array, "*M V"]:
        """Applies final norm, output head and soft-cap; float32."""
        h = self.final_norm(x)
        raw = h @ self.embedding.weight[...].T if self.head is None else self.head(h)
        raw = raw.astype(jnp.float32)
        cap = self.config.logit_softcap
        return raw if cap is None else jnp.tanh(raw / cap) * cap


class Embedding(nnx.Module):
    """The token table `[V, D]`."""

    def __init__(self, vocab_size: int, width: int, *, rngs: nnx.Rngs) -> None:
        self.weight = nnx.Param(
            nnx.initializers.normal(0.02)(rngs.params(), (vocab_size, width), jnp.float32)
        )
