"""Key/value caches: their names in the state, row writes, and the attention forms.

Caches are one array per layer, `[B, K, S, H]`. Each row of the batch writes at its own position, by
a static loop of `dynamic_update_slice`: that stays in place on XLA for CPU and TPU, where a vmapped
one becomes a scatter and a copy.
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tandem_export.config import DecoderConfig
from tandem_export.graphs.spec import Arrays, Form, Shapes
from tandem_export.kernels import ragged_attention
from tandem_export.model import Decoder, KeyValue, attend, causal_mask, two_part_masks

Cache = list[KeyValue]


def cache_shapes(who: str, config: DecoderConfig, batch: int, length: int, dtype: Any) -> Shapes:
    """State names and shapes of one model's cache; `who` is `primary` or `drafter`."""
    shape = (batch, config.num_kv_heads, length, config.head_size)
    leaf = jax.ShapeDtypeStruct(shape, dtype)
    return {f"{who}_{x}.{j:02}": leaf for x in "kv" for j in range(config.num_layers)}


def get_cache(state: Arrays, who: str) -> Cache:
    """One model's cache out of the state, a (key, value) pair per layer."""
    layers = sum(name.startswith(f"{who}_k.") for name in state)
    return [(state[f"{who}_k.{j:02}"], state[f"{who}_v.{j:02}"]) for j in range(layers)]


def put_cache(state: Arrays, who: str, cache: Cache) -> Arrays:
    """The state with one model's cache replaced."""
    keys = {f"{who}_k.{j:02}": k for j, (k, _) in enumerate(cache)}
    values = {f"{who}_v.{j:02}": v for j, (_, v) in enumerate(cache)}
    return state | keys | values


def write_rows(
    cache: Float[Array, "B K S H"], rows: Float[Array, "B K T H"], start: Int[Array, " B"]
) -> Float[Array, "B K S H"]:
    """Writes T rows of each batch row at its own position; start + T <= S is the caller's duty."""
    for b in range(cache.shape[0]):
        at = (b, 0, start[b], 0)
        cache = jax.lax.dynamic_update_slice(cache, rows[b : b + 1].astype(cache.dtype), at)
    return cache


@jax.jit
def _write_layer(cache: KeyValue, rows: KeyValue, start: Int[Array, " B"]) -> KeyValue:
    return write_rows(cache[0], rows[0], start), write_rows(cache[1], rows[1], start)


def write_layers(cache: Cache, rows: list[KeyValue], start: Int[Array, " B"]) -> Cache:
    """`write_rows` for the keys and values of every layer."""
    return [_write_layer(c, own, start) for c, own in zip(cache, rows, strict=True)]


def block_positions(start: Int[Array, " B"], T: int) -> Int[Array, "B T"]:
    """Sequence positions of a block of T tokens."""
    return start[:, None] + jnp.arange(T, dtype=start.dtype)[None, :]


def run_block(
    model: Decoder,
    cache: Cache,
    tokens: Int[Array, "B T"],
    start: Int[Array, " B"],
    form: Form,
    keep: int | None = None,
) -> tuple[list[Float[Array, "M D"]], Cache]:
    """Runs a block of tokens over a cache; returns the activations and the written cache.

    `in_cache` writes the rows and attends over the cache: for one T, the result of a token does not
    depend on the tokens after it or on where in the block it stands, bit for bit. `two_part`
    attends over old cache and new rows under one softmax and writes last; `kernel` does so too, on
    a TPU in one kernel that reads of each row's cache only what is filled.

    Rows of the first `keep` tokens are written, all by default.
    """
    if form != "in_cache":
        activations, rows = block_rows(model, cache, tokens, start, form)
        return activations, write_layers(cache, [first_rows(kv, keep) for kv in rows], start)
    positions = block_positions(start, tokens.shape[1])
    done = model.run(tokens, positions, _in_cache(model.config, cache, start, positions, keep))
    written: list[Any] = done.kept
    return done.activations, written


def block_rows(
    model: Decoder,
    cache: Cache,
    tokens: Int[Array, "B T"],
    start: Int[Array, " B"],
    form: Literal["two_part", "kernel"] = "two_part",
) -> tuple[list[Float[Array, "M D"]], list[KeyValue]]:
    """Runs a block of tokens over a cache that stays as it is.

    Returns the activations and, per layer, the block's own keys and values `[B, K, T, H]`: the rows
    that the caller writes at `start`.
    """
    T = tokens.shape[1]
    if form == "kernel":
        see = _kernel(model.config, cache, start)
    else:
        see = two_part(model.config, cache, start, T)
    done = model.run(tokens, block_positions(start, T), see)
    rows: list[Any] = done.kept
    return done.activations, rows


def _key_positions(cache: Cache, batch: int) -> Int[Array, "B S"]:
    S = cache[0][0].shape[2]
    return jnp.broadcast_to(jnp.arange(S, dtype=jnp.int32)[None, :], (batch, S))


def first_rows(kv: KeyValue, keep: int | None) -> KeyValue:
    """Keys and values of the first `keep` tokens, None is all."""
    return kv[0][:, :, :keep], kv[1][:, :, :keep]


def _in_cache(
    config: DecoderConfig, cache: Cache, start: Array, positions: Array, keep: int | None
):
    keys = _key_positions(cache, positions.shape[0])
    masks = {w: causal_mask(positions, keys, w) for w in _windows(config)}

    def see(layer: int, q: Array, kv: KeyValue) -> tuple[Array, KeyValue]:
        k, v = _write_layer(cache[layer], first_rows(kv, keep), start)
        mask = masks[config.window(layer)]
        out = attend(q, [(k, v, mask)], scale=config.scale, softcap=config.attention_softcap)
        return out, (k, v)

    return see


def two_part(config: DecoderConfig, cache: Cache, start: Array, T: int):
    """The `attend` of a block of T tokens at `start` over a cache that stays as it is."""
    S = cache[0][0].shape[2]
    masks = {w: two_part_masks(start, T, S, w) for w in _windows(config)}

    def see(layer: int, q: Array, kv: KeyValue) -> tuple[Array, KeyValue]:
        past, block = masks[config.window(layer)]
        parts = [(*cache[layer], past), (*kv, block)]
        return attend(q, parts, scale=config.scale, softcap=config.attention_softcap), kv

    return see


def _kernel(config: DecoderConfig, cache: Cache, start: Array):
    def see(layer: int, q: Array, kv: KeyValue) -> tuple[Array, KeyValue]:
        window, softcap = config.window(layer), config.attention_softcap
        parts = (*cache[layer], *kv)
        out = ragged_attention(q, *parts, start, scale=config.scale, softcap=softcap, window=window)
        return out, kv

    return see


def _windows(config: DecoderConfig) -> set[int | None]:
    return {config.window(j) for j in range(config.num_layers)}
