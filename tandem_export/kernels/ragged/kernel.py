"""The Pallas kernel: one pass over the filled blocks of each row's cache, with a running softmax.

The grid is (batch row, key/value head, block of the cache). The first visit of a row and head takes
the block's own keys, which every query sees at least one of; each further visit adds one block of
the cache. Blocks that a row has not filled, or that lie before its window, are neither fetched
(their index map stays at a block that is) nor computed.

    S 512 in blocks of 128, start 200:  block 0 all, block 1 up to position 199, blocks 2, 3 skipped
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from tandem_export.kernels.ragged.tiling import SUBLANES, Tiling, tiling_of
from tandem_export.model import MASKED, group_queries, ungroup_queries

# Of the product of queries with keys, and of weights with values: rows by rows, or rows by columns.
Dimensions = tuple[tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[()], tuple[()]]]
_NT, _NN = (((1,), (1,)), ((), ())), (((1,), (0,)), ((), ()))


def kernel(
    q: Float[Array, "B T N H"],
    k_cache: Float[Array, "B K S H"],
    v_cache: Float[Array, "B K S H"],
    k_block: Float[Array, "B K T H"],
    v_block: Float[Array, "B K T H"],
    start: Int[Array, " B"],
    *,
    scale: float,
    softcap: float | None,
    window: int | None,
    interpret: bool = False,
) -> Float[Array, "B T N H"]:
    """Computes what `reference` does, in one kernel; with `interpret` it runs anywhere, slowly."""
    (B, T, N, H), (K, S) = q.shape, k_cache.shape[1:3]
    tiling = tiling_of(q.shape, k_cache.shape, q.dtype)
    queries = _padded(group_queries(q, K))
    k_block, v_block = _padded(k_block), _padded(v_block)
    M = queries.shape[2]
    k_cache, v_cache = (_placed(x, tiling, interpret) for x in (k_cache, v_cache))
    rows = pl.BlockSpec((1, 1, M, H), lambda b, k, s, start: (b, k, 0, 0))
    block_spec = pl.BlockSpec((1, 1, k_block.shape[2], H), lambda b, k, s, start: (b, k, 0, 0))
    filled = _cache_spec(tiling, H, window)
    run = pl.pallas_call(
        partial(_body, T=T, tiling=tiling, scale=scale, softcap=softcap, window=window),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(B, K, S // tiling.block),
            in_specs=[rows, filled, filled, block_spec, block_spec],
            out_specs=rows,
            scratch_shapes=[pltpu.VMEM((M, n), jnp.float32) for n in (1, 1, H)],
        ),
        out_shape=jax.ShapeDtypeStruct((B, K, M, H), q.dtype),
        cost_estimate=_cost(q, k_cache, S),
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary")
        ),
        interpret=interpret,
        name="ragged_attention",
    )
    out = run(start, queries, k_cache, v_cache, k_block, v_block)
    return ungroup_queries(out[:, :, : N // K * T], T)


def _placed(cache: Array, tiling: Tiling, interpret: bool) -> Array:
    """Returns the cache as the kernel reads it, from HBM.

    Where it is free to, XLA copies all of a cache onto the chip first, full or not, and after the
    new rows are written all of it back.
    """
    viewed = cache.swapaxes(2, 3) if tiling.transposed else cache
    return viewed if interpret else pltpu.with_memory_space_constraint(viewed, pltpu.HBM)


def _padded(rows: Float[Array, "B K R H"]) -> Float[Array, "B K _R H"]:
    """Pads with zero rows to a full register tile: Mosaic refuses a bfloat16 product with one row.

    No query sees the padding after a block, and the results of padding queries are discarded.
    """
    more = -rows.shape[2] % SUBLANES
    return jnp.pad(rows, ((0, 0), (0, 0), (0, more), (0, 0)))


def _cost(q: Array, cache: Array, S: int) -> pl.CostEstimate:
    """Estimates the cost with full caches; the compiler schedules what is around by it."""
    return pl.CostEstimate(
        flops=4 * q.size * S,
        bytes_accessed=2 * cache.size * cache.dtype.itemsize + 2 * q.size * q.dtype.itemsize,
        transcendentals=q.size // q.shape[-1] * S,
    )


def _filled(start: Array, tiling: Tiling, window: int | None) -> tuple[Array, Array]:
    """Returns the first and the last block that a row at `start` reads; an empty row reads none."""
    first = 0 * start if window is None else jnp.maximum(start - window + 1, 0) // tiling.block
    return first, (start + tiling.block - 1) // tiling.block - 1


def _cache_spec(tiling: Tiling, H: int, window: int | None) -> pl.BlockSpec:
    def place(b: Array, k: Array, s: Array, start: jax.Ref) -> tuple[Array | int, ...]:
        first, last = _filled(start[b], tiling, window)
        near = jnp.clip(s, first, jnp.maximum(last, first))
        return (b, k, 0, near) if tiling.transposed else (b, k, near, 0)

    shape = (H, tiling.block) if tiling.transposed else (tiling.block, H)
    return pl.BlockSpec((1, 1, *shape), place)


def _body(
    start_ref: jax.Ref,
    q_ref: jax.Ref,
    k_cache_ref: jax.Ref,
    v_cache_ref: jax.Ref,
    k_block_ref: jax.Ref,
    v_block_ref: jax.Ref,
    out_ref: jax.Ref,
    peak_ref: jax.Ref,
    total_ref: jax.Ref,
    mixed_ref: jax.Ref,
    *,
    T: int,
    tiling: Tiling,
    scale: float,
    softcap: float | None,
    window: int | None,
) -> None:
    """Adds one block of one row and head; `peak`, `total` and `mixed` are the softmax so far."""
    start, s = start_ref[pl.program_id(0)], pl.program_id(2)
    first, last = _filled(start, tiling, window)
    M, padded = q_ref.shape[2], k_block_ref.shape[2]

    def scores(k: Array, dimensions: Dimensions, position: Array) -> Array:
        """Returns masked scores `[M, keys]`; `position` of a key counts from the block's first."""
        raw = _product(q_ref[0, 0], k, dimensions) * scale
        raw = raw if softcap is None else jnp.tanh(raw / softcap) * softcap
        token = jax.lax.broadcasted_iota(jnp.int32, raw.shape, 0) % T
        seen = position <= token
        seen = seen if window is None else seen & (token - position < window)
        return jnp.where(seen, raw, MASKED)

    @pl.when(s == 0)
    def _() -> None:
        position = jax.lax.broadcasted_iota(jnp.int32, (M, padded), 1)
        raw = scores(k_block_ref[0, 0], _NT, position)
        peak_ref[...] = raw.max(-1, keepdims=True)
        weights = jnp.exp(raw - peak_ref[...])
        total_ref[...] = weights.sum(-1, keepdims=True)
        v = v_block_ref[0, 0]
        mixed_ref[...] = _product(weights.astype(v.dtype), v, _NN)

    @pl.when((s >= first) & (s <= last))
    def _() -> None:
        column = s * tiling.block + jax.lax.broadcasted_iota(jnp.int32, (M, tiling.block), 1)
        raw = scores(k_cache_ref[0, 0], _NN if tiling.transposed else _NT, column - start)
        raw = jnp.where(column < start, raw, MASKED)
        peak = jnp.maximum(peak_ref[...], raw.max(-1, keepdims=True))
        before, weights = jnp.exp(peak_ref[...] - peak), jnp.exp(raw - peak)
        peak_ref[...] = peak
        total_ref[...] = before * total_ref[...] + weights.sum(-1, keepdims=True)
        v = v_cache_ref[0, 0]
        added = _product(weights.astype(v.dtype), v, _NT if tiling.transposed else _NN)
        mixed_ref[...] = before * mixed_ref[...] + added

    @pl.when(s == pl.num_programs(2) - 1)
    def _() -> None:
        out_ref[0, 0] = (mixed_ref[...] / total_ref[...]).astype(out_ref.dtype)


def _product(a: Array, b: Array, dimensions: Dimensions) -> Array:
    return jax.lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)
