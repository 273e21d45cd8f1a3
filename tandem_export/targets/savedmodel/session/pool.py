"""The pool of slots: rows of state that stay in the server, addressed by number.

A step function works on a batch of B rows. Around it, a call copies its B rows out of the pool,
runs, and writes back only the cache positions that the step may have changed:

    pool [N + 1, K, S, H]  --slots-->  batch [B, K, S, H]  --step-->  T positions a row  -->  pool

The pool is written by `dynamic_update_slice` alone, after everything that was read from it: that
stays in place, so the cost of a call grows with its rows and not with the pool. What is done to
each cache is jitted: a module holds it once and calls it for every layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from tandem_export.config import TandemConfig
from tandem_export.contract import is_cache, is_round, position_name
from tandem_export.graphs import Arrays, BuildOptions, Graph, Shapes, state_shapes

# Slots and positions are checked before: none counts from the end, which is three operations.
_take = partial(jax.lax.dynamic_slice, allow_negative_indices=False)
_take_in_dim = partial(jax.lax.dynamic_slice_in_dim, allow_negative_indices=False)
_put = partial(jax.lax.dynamic_update_slice, allow_negative_indices=False)
_put_in_dim = partial(jax.lax.dynamic_update_slice_in_dim, allow_negative_indices=False)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The state that every session signature shares, and the limits of what calls may ask for.

    Attributes:
      slots: N, how many rows callers can hold. Row N is the scratch slot: warm-up, padding and
        refused calls write there.
      rows: shapes and dtypes of caches and registers, `[N + 1, ...]`.
      cache: cache positions S.
      vocab_size: token ids are below it.
      max_new: the longest answer of `generate`, tokens.
    """

    slots: int
    rows: Shapes
    cache: int
    vocab_size: int
    max_new: int

    @property
    def scratch(self) -> int:
        """The slot that nobody can hold."""
        return self.slots

    @property
    def shapes(self) -> Shapes:
        """Of the whole pool: every state name, `owner` (0 is free) and `epoch` (a scalar)."""
        owner = jax.ShapeDtypeStruct((self.slots + 1,), jnp.int32)
        return self.rows | {"owner": owner, "epoch": jax.ShapeDtypeStruct((), jnp.int32)}


def make_pool(config: TandemConfig, options: BuildOptions, slots: int) -> Pool:
    """Returns the pool of a SavedModel with `slots` rows for callers, and one more."""
    return Pool(
        slots=slots,
        rows=state_shapes(config, options, slots + 1),
        cache=options.cache,
        vocab_size=config.primary.vocab_size,
        max_new=options.max_new,
    )


@jax.jit
def take_rows(pool: jax.Array, slots: jax.Array) -> jax.Array:
    """Returns rows `slots` `[B]` of `[N, ...]`, as `[B, ...]`."""
    rows = [_take_in_dim(pool, slots[b], 1) for b in range(slots.shape[0])]
    return jnp.concatenate(rows)


def put_registers(pool: jax.Array, rows: jax.Array, slots: jax.Array) -> jax.Array:
    """Returns `[N]` with `rows` `[B]` written at `slots` `[B]`."""
    for b in range(slots.shape[0]):
        pool = _put_in_dim(pool, rows[b : b + 1], slots[b], 0)
    return pool


@partial(jax.jit, static_argnames="count")
def take_positions(rows: jax.Array, start: jax.Array, count: int) -> list[jax.Array]:
    """Reads positions `start .. start + count - 1` of rows `[K, S, H]`, each `[1, K, count, H]`."""
    K, H = rows.shape[1], rows.shape[3]
    return [_take(rows, (b, 0, start[b], 0), (1, K, count, H)) for b in range(rows.shape[0])]


@jax.jit
def put_positions(
    pool: jax.Array, new: Sequence[jax.Array], slots: jax.Array, start: jax.Array
) -> jax.Array:
    """Returns the cache `[N, K, S, H]` with what `take_positions` took, at the rows `slots`.

    Both slices are clamped alike at the end of the cache.
    """
    for b, row in enumerate(new):
        pool = _put(pool, row, (slots[b], 0, start[b], 0))
    return pool


def following(slots: jax.Array, values: Iterable[jax.Array]) -> jax.Array:
    """Returns `slots` with an artificial dependency on all floating `values`.

    So the compiler writes to the pool after its reads. It may otherwise write before the last read,
    and then copies the pool first (measured with TensorFlow 2.21: four copies in a prefill; an
    optimization barrier does not stop it). No value is NaN and infinite at once, but the compiler
    does not know that.
    """
    floating = [value for value in values if jnp.issubdtype(value.dtype, jnp.floating)]
    ends = [jax.lax.slice(v, [n - 1 for n in v.shape], v.shape).reshape(1) for v in floating]
    last = jnp.concatenate([end.astype(jnp.float32) for end in ends])
    never = jnp.any(jnp.isnan(last) & jnp.isinf(last))
    return slots + never.astype(jnp.int32)


def written_positions(graph: Graph, pool: Pool, inputs: Arrays, rows: Arrays) -> tuple:
    """Returns (start `[B]`, count) of the cache positions that a call of `graph` may change.

    A block is written at its position; in a round, an independent drafter also catches up on the
    token before it.
    """
    name = position_name(graph.role)
    assert graph.width is not None and name is not None
    position = (inputs | rows)[name]
    if not is_round(graph.role):
        return position, graph.width
    return jnp.maximum(position - 1, 0), min(graph.width + 1, pool.cache)


def run_on_slots(
    graph: Graph, pool: Pool, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Arrays, Arrays]:
    """Runs `graph` on the rows `inputs["slots"]`: its outputs, and the new pool of its state."""
    slots = inputs["slots"]
    graph_inputs = {name: inputs[name] for name in graph.inputs}
    rows = {name: take_rows(state[name], slots) for name in graph.state}
    start, count = written_positions(graph, pool, graph_inputs, rows)
    outputs, after = graph.function(params, rows, graph_inputs)
    new = {
        name: take_positions(value, start, count) for name, value in after.items() if is_cache(name)
    }
    written = [row for pieces in new.values() for row in pieces]
    last = following(slots, [*outputs.values(), *written])
    return outputs, {
        name: put_positions(state[name], new[name], last, start)
        if is_cache(name)
        else put_registers(state[name], value, last)
        for name, value in after.items()
    }
