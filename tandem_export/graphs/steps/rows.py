"""Defines the single steps in the `rows` contract: they read caches and return the new rows.

Nothing is written: the caller puts the output `rows_name(cache)` `[B, K, T, H]` at
`start .. start + T - 1` of each row of that cache. So a graph has no aliasing to rely on, and a
runtime can hold the caches in memory of its own.

Parameters of any floating dtype are computed with in float32, and caches are float32.
"""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from tandem_export.config import DecoderConfig, TandemConfig
from tandem_export.contract import ModelName, cache_names, parse_cache_name, rows_name
from tandem_export.graphs.graph import Arrays
from tandem_export.graphs.state import Block, Cache, name_cache
from tandem_export.graphs.steps import in_place
from tandem_export.graphs.steps.cache import block_rows
from tandem_export.model import KeyValue


def primary_block(
    config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Arrays, Arrays]:
    """Computes `primary_block`: tokens `[B, T]`, start `[B]` -> logits `[B, T, V]`, new rows.

    Rows of both caches in a tandem pair, of the primary's alone otherwise.
    """
    params = _in_float32(params)
    x, rows = _primary_rows(config, params, state, inputs)
    # Flat rows through the head: engines run a product of three axes at half the speed.
    logits = in_place.primary_of(config, params).logits(x)
    return rows | {"logits": logits.reshape(*inputs["tokens"].shape, -1)}, state


def drafter_step(
    config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Arrays, Arrays]:
    """Computes `drafter_step`: tokens `[B, T]`, start `[B]` -> logits `[B, V]`, new rows."""
    params = _in_float32(params)
    x, rows = _drafter_rows(config, params, state, inputs)
    last = x.reshape(*inputs["tokens"].shape, -1)[:, -1]
    return rows | {"logits": in_place.drafter_of(config, params).logits(last)}, state


def prefill(
    config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Arrays, Arrays]:
    """Computes `prefill`: a prompt chunk's rows of both caches, no logits."""
    params = _in_float32(params)
    _, rows = _primary_rows(config, params, state, inputs)
    if not config.is_tandem:
        rows |= _drafter_rows(config, params, state, inputs)[1]
    return rows, state


def router(
    config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Arrays, Arrays]:
    """Computes `router`: drafter logits `[B, V]` -> predicted acceptance `[B]`."""
    return in_place.router(config, _in_float32(params), state, inputs)


def _in_float32(params: Arrays) -> Arrays:
    floating = {n for n, value in params.items() if jnp.issubdtype(value.dtype, jnp.floating)}
    return {n: v.astype(jnp.float32) if n in floating else v for n, v in params.items()}


def _primary_rows(
    config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Float[Array, "M D"], Arrays]:
    block = Block.read(inputs)
    primary = in_place.primary_of(config, params)
    cache = _cache(config.primary, state, "primary", block)
    activations, rows = block_rows(primary, cache, block)
    outputs = _outputs("primary", rows)
    if config.is_tandem:
        projected = in_place.projected_rows(config, params, activations, block)
        outputs |= _outputs("drafter", projected)
    return activations[-1], outputs


def _drafter_rows(
    config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Float[Array, "M D"], Arrays]:
    block = Block.read(inputs)
    drafter = in_place.drafter_of(config, params)
    activations, rows = block_rows(drafter, _cache(config.drafter, state, "drafter", block), block)
    return activations[-1], _outputs("drafter", rows)


def _cache(config: DecoderConfig, state: Arrays, model: ModelName, block: Block) -> Cache:
    """Returns one model's cache; a layer that no output depends on is not in the state, and zeros.

    The rows of a last layer do not depend on what it attends to, and a prefill wants no more.
    """
    parsed = {name: parse_cache_name(name) for name in state}
    lengths = [state[n].shape[2] for n, cache in parsed.items() if cache and cache.model == model]
    batch, length = block.tokens.shape[0], max(lengths, default=1)
    shape = (batch, config.num_kv_heads, length, config.head_size)
    unread = jnp.zeros(shape, jnp.float32)
    names = cache_names(model, config.num_layers)
    return [(state.get(k, unread), state.get(v, unread)) for k, v in names]


def _outputs(model: ModelName, rows: list[KeyValue]) -> Arrays:
    return {rows_name(name): array for name, array in name_cache(model, rows).items()}
