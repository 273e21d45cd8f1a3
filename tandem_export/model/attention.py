"""Scaled dot-product attention over grouped key/value heads, and the masks it takes.

Keys and values come as `[B, K, S, H]`, the layout of the cache: the TPU compiler reads it without a
relayout for K > 1.
"""

from __future__ import annotations

import functools
import operator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tandem_export.model.jitted import jit_static

# A masked score. Finite, so that a row that sees nothing gives numbers and not NaN.
MASKED = -1e30
# More bytes of attention scores no longer fit in a TPU's on-chip memory next to the weights that
# stream through it: a prompt then attends in pieces of at least `_LEAST_QUERIES` queries.
_SCORES_AT_ONCE, _LEAST_QUERIES = 32 * 2**20, 64


def causal_mask(
    query: Int[Array, "B T"], key: Int[Array, "B S"], window: int | None = None
) -> Bool[Array, "B T S"]:
    """Returns which keys a query sees: none that is later, and those inside `window` if given."""
    distance = query[:, :, None] - key[:, None, :]
    visible = distance >= 0
    return visible if window is None else visible & (distance < window)


def two_part_masks(
    start: Int[Array, " B"], T: int, S: int, window: int | None
) -> tuple[Bool[Array, "B T S"], Bool[Array, "B T T"]]:
    """Returns what a block of T tokens at `start` sees of a cache of S positions, and of itself.

    Of the cache only what lies before the block: its own rows are not written yet.
    """
    queries = start[:, None] + jnp.arange(T, dtype=start.dtype)[None, :]
    keys = jnp.broadcast_to(jnp.arange(S, dtype=start.dtype)[None, :], (start.shape[0], S))
    old = (keys < start[:, None])[:, None, :]
    return causal_mask(queries, keys, window) & old, causal_mask(queries, queries, window)


def group_queries(q: Float[Array, "B T N H"], num_kv_heads: int) -> Float[Array, "B K M H"]:
    """Folds the queries that share a key/value head, and the T tokens, into M = N / K * T rows."""
    B, T, N, H = q.shape
    grouped = q.reshape(B, T, num_kv_heads, N // num_kv_heads, H)
    return grouped.transpose(0, 2, 3, 1, 4).reshape(B, num_kv_heads, -1, H)


def ungroup_queries(x: Float[Array, "B K M H"], T: int) -> Float[Array, "B T N H"]:
    """Returns the inverse of `group_queries`."""
    B, K, M, H = x.shape
    return x.reshape(B, K, M // T, T, H).transpose(0, 3, 1, 2, 4).reshape(B, T, -1, H)


def scores(
    q: Float[Array, "B K M H"],
    k: Float[Array, "B K S H"],
    mask: Bool[Array, "B T S"],
    *,
    scale: float,
    softcap: float | None,
) -> Float[Array, "B K M S"]:
    """Returns masked scores in float32."""
    B, K, M, _ = q.shape
    T, S = mask.shape[1:]
    raw = jnp.einsum("bkmh,bksh->bkms", q, k, preferred_element_type=jnp.float32) * scale
    if softcap is not None:
        raw = jnp.tanh(raw / softcap) * softcap
    raw = raw.reshape(B, K, M // T, T, S)
    return jnp.where(mask[:, None, None], raw, MASKED).reshape(B, K, M, S)


@jit_static("scale", "softcap")
def attend(
    q: Float[Array, "B T N H"],
    parts: list[tuple[Float[Array, "B K _S H"], Float[Array, "B K _S H"], Bool[Array, "B T _S"]]],
    *,
    scale: float,
    softcap: float | None = None,
) -> Float[Array, "B T N H"]:
    """Computes attention over several (key, value, mask) parts under one softmax, in q's dtype.

    Each part has its own length S (`_S`: not compared between parts).
    """
    K, S = parts[0][0].shape[1], sum(k.shape[2] for k, _, _ in parts)
    heads, queries = at_once(q.shape, K, S)
    per_head = q.shape[2] // K

    def piece(head: int, at: int) -> Array:
        chosen = slice(head, head + heads)
        mine = q[:, at : at + queries, head * per_head : chosen.stop * per_head]
        seen = [(k[:, chosen], v[:, chosen], mask[:, at : at + queries]) for k, v, mask in parts]
        return _attend(mine, seen, scale=scale, softcap=softcap)

    if (heads, queries) == (K, q.shape[1]):
        return _attend(q, parts, scale=scale, softcap=softcap)
    starts = range(0, q.shape[1], queries)
    by_heads = [
        jnp.concatenate([piece(head, at) for at in starts], 1) for head in range(0, K, heads)
    ]
    return jnp.concatenate(by_heads, 2)


def at_once(shape: tuple[int, ...], K: int, S: int) -> tuple[int, int]:
    """Returns how many of K key/value heads and of T queries `[B, T, N, H]` attend at once to S.

    Heads are divided first: a piece of them reads its own part of the cache, while for a second
    piece of queries the TPU compiler writes the cache back. Under an abstract mesh the chips share
    heads that divide, and a piece of them would be some chips' alone; of others (more than one)
    each chip computes all (`tandem_export/sharding.py`).
    """
    B, T, N, _ = shape
    chips = jax.sharding.get_abstract_mesh().size or 1
    chips = 1 if K > 1 and K % chips else chips
    pieces = -(-4 * B * T * N * S // (_SCORES_AT_ONCE * chips))
    if pieces == 1 or T <= _LEAST_QUERIES:
        return K, T
    divisors = [n for n in range(1, K + 1) if K % n == 0] if chips == 1 else [1]
    by_heads = next((n for n in divisors if n >= pieces), divisors[-1])
    return K // by_heads, min(T, max(_LEAST_QUERIES, -(-T * by_heads // pieces)))


def _attend(q: Array, parts: list, *, scale: float, softcap: float | None) -> Array:
    grouped = group_queries(q, parts[0][0].shape[1])
    logits = [scores(grouped, k, mask, scale=scale, softcap=softcap) for k, _, mask in parts]
    peak = functools.reduce(jnp.maximum, [part.max(-1, keepdims=True) for part in logits])
    # Divided by their sum after the values are mixed: a pass over [T, H] instead of [T, S].
    weights = [jnp.exp(part - peak) for part in logits]
    total = functools.reduce(operator.add, [part.sum(-1, keepdims=True) for part in weights])
    mixed = [
        jnp.einsum("bkms,bksh->bkmh", part.astype(v.dtype), v, preferred_element_type=jnp.float32)
        for part, (_, v, _) in zip(weights, parts, strict=True)
    ]
    out = (functools.reduce(operator.add, mixed) / total).astype(q.dtype)
    return ungroup_queries(out, q.shape[1])
