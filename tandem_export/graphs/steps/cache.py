"""Runs blocks of tokens over key/value caches: row writes, and the attention forms.

Caches are one array per layer, `[B, K, S, H]`. Each row of the batch writes at its own position, by
a static loop of `dynamic_update_slice`: that stays in place on XLA for CPU and TPU, where a vmapped
one becomes a scatter and a copy.
"""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from tandem_export.config import DecoderConfig
from tandem_export.contract import ModelName, cache_names
from tandem_export.graphs.graph import Shapes
from tandem_export.graphs.options import AttentionForm
from tandem_export.graphs.state import Block, Cache, LayerCache
from tandem_export.kernels import ragged_attention
from tandem_export.model import Attend, Decoder, KeyValue, attend, causal_mask, jit, two_part_masks


def cache_shapes(
    model: ModelName, config: DecoderConfig, batch: int, length: int, dtype: DTypeLike
) -> Shapes:
    """Returns the state names and shapes of one model's cache."""
    leaf = jax.ShapeDtypeStruct((batch, config.num_kv_heads, length, config.head_size), dtype)
    return {name: leaf for pair in cache_names(model, config.num_layers) for name in pair}


def write_rows(
    cache: Float[Array, "B K S H"], rows: Float[Array, "B K T H"], start: Int[Array, " B"]
) -> Float[Array, "B K S H"]:
    """Writes T rows of each batch row at its own position; start + T <= S is the caller's duty."""
    for b in range(cache.shape[0]):
        corner = (b, 0, start[b], 0)
        cache = jax.lax.dynamic_update_slice(cache, rows[b : b + 1].astype(cache.dtype), corner)
    return cache


@jit
def _write_layer(cache: LayerCache, rows: KeyValue, start: Int[Array, " B"]) -> LayerCache:
    return write_rows(cache[0], rows[0], start), write_rows(cache[1], rows[1], start)


def write_layers(cache: Cache, rows: list[KeyValue], start: Int[Array, " B"]) -> Cache:
    """Writes the new rows of every layer, as `write_rows` does."""
    return [_write_layer(old, new, start) for old, new in zip(cache, rows, strict=True)]


def block_positions(start: Int[Array, " B"], T: int) -> Int[Array, "B T"]:
    """Returns the sequence indices of a block of T tokens."""
    return start[:, None] + jnp.arange(T, dtype=start.dtype)[None, :]


def run_block(
    model: Decoder, cache: Cache, block: Block, form: AttentionForm, *, write: int | None = None
) -> tuple[list[Float[Array, "M D"]], Cache]:
    """Runs a block of tokens over a cache; returns the activations and the written cache.

    `in_cache` writes the rows and attends over the cache: for one T, the result of a token does not
    depend on the tokens after it or on its offset in the block, bit for bit. `two_part`
    attends over old cache and new rows under one softmax and writes last; `kernel` does so too, on
    a TPU in one kernel that reads only the filled part of each row's cache.

    Rows of the first `write` tokens are written, all by default.
    """
    if form != "in_cache":
        activations, rows = block_rows(model, cache, block, form)
        new = [first_rows(layer, write) for layer in rows]
        return activations, write_layers(cache, new, block.start)
    positions = block_positions(block.start, block.tokens.shape[1])
    attention = _in_cache(model.config, cache, block.start, positions, write)
    run = model.run(block.tokens, positions, attention)
    return run.activations, run.kept


def block_rows(
    model: Decoder,
    cache: Cache,
    block: Block,
    form: Literal["two_part", "kernel"] = "two_part",
) -> tuple[list[Float[Array, "M D"]], list[KeyValue]]:
    """Runs a block of tokens over a cache that stays as it is.

    Returns the activations and, per layer, the block's own keys and values `[B, K, T, H]`: the rows
    that the caller writes at `block.start`.
    """
    T = block.tokens.shape[1]
    if form == "kernel":
        attention = _kernel(model.config, cache, block.start)
    else:
        attention = two_part(model.config, cache, block.start, T)
    run = model.run(block.tokens, block_positions(block.start, T), attention)
    return run.activations, run.kept


def _key_positions(cache: Cache, batch: int) -> Int[Array, "B S"]:
    S = cache[0][0].shape[2]
    return jnp.broadcast_to(jnp.arange(S, dtype=jnp.int32)[None, :], (batch, S))


def first_rows(
    kv: KeyValue, count: int | None
) -> tuple[Float[Array, "B K W H"], Float[Array, "B K W H"]]:
    """Returns keys and values of the first `count` tokens, of all if it is None."""
    return kv[0][:, :, :count], kv[1][:, :, :count]


def _in_cache(
    config: DecoderConfig, cache: Cache, start: Array, positions: Array, write: int | None
) -> Attend[LayerCache]:
    keys = _key_positions(cache, positions.shape[0])
    masks = {w: causal_mask(positions, keys, w) for w in _windows(config)}

    def attention(layer: int, q: Array, kv: KeyValue) -> tuple[Array, LayerCache]:
        k, v = _write_layer(cache[layer], first_rows(kv, write), start)
        mask = masks[config.window(layer)]
        out = attend(q, [(k, v, mask)], scale=config.scale, softcap=config.attention_softcap)
        return out, (k, v)

    return attention


def two_part(config: DecoderConfig, cache: Cache, start: Array, T: int) -> Attend[KeyValue]:
    """Returns the attention of a block of T tokens at `start` over a cache that stays as it is."""
    S = cache[0][0].shape[2]
    masks = {w: two_part_masks(start, T, S, w) for w in _windows(config)}

    def attention(layer: int, q: Array, kv: KeyValue) -> tuple[Array, KeyValue]:
        past, block = masks[config.window(layer)]
        parts = [(*cache[layer], past), (*kv, block)]
        return attend(q, parts, scale=config.scale, softcap=config.attention_softcap), kv

    return attention


def _kernel(config: DecoderConfig, cache: Cache, start: Array) -> Attend[KeyValue]:
    def attention(layer: int, q: Array, kv: KeyValue) -> tuple[Array, KeyValue]:
        window, softcap = config.window(layer), config.attention_softcap
        parts = (*cache[layer], *kv)
        out = ragged_attention(q, *parts, start, scale=config.scale, softcap=softcap, window=window)
        return out, kv

    return attention


def _windows(config: DecoderConfig) -> set[int | None]:
    return {config.window(j) for j in range(config.num_layers)}
