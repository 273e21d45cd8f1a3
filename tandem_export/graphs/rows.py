"""The single steps in the `rows` contract: caches are read, the new rows come back as outputs.

Nothing is written: the caller puts `rows.<state name>` `[B, K, T, H]` at `start .. start + T - 1`
of each row of the cache. So a graph has no aliasing to rely on, and a runtime can keep the caches
in memory of its own.

Parameters of any floating dtype are computed with in float32, and caches are float32.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tandem_export.config import DecoderConfig, TandemConfig
from tandem_export.graphs import steps
from tandem_export.graphs.cache import Cache, block_rows
from tandem_export.graphs.spec import Arrays
from tandem_export.model import KeyValue

ROLES = ("prefill", "primary_block", "drafter_step", "router")


def primary_block(config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays):
    """Graph `primary_block`: tokens `[B, T]`, start `[B]` -> logits `[B, T, V]`, the block's rows.

    Rows of both caches in a tandem pair, of the primary's alone otherwise.
    """
    params = _wide(params)
    x, rows = _primary_rows(config, params, state, inputs)
    # Flat rows through the head: engines run a product of three axes at half the speed.
    logits = steps.part(config, params, "primary").logits(x)
    return rows | {"logits": logits.reshape(*inputs["tokens"].shape, -1)}, state


def drafter_step(config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays):
    """Graph `drafter_step`: tokens `[B, T]`, start `[B]` -> logits `[B, V]` of the last, rows."""
    params = _wide(params)
    x, rows = _drafter_rows(config, params, state, inputs)
    last = x.reshape(*inputs["tokens"].shape, -1)[:, -1]
    return rows | {"logits": steps.part(config, params, "drafter").logits(last)}, state


def prefill(config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays):
    """Graph `prefill`: a prompt chunk's rows of both caches, no logits."""
    params = _wide(params)
    _, rows = _primary_rows(config, params, state, inputs)
    if not config.is_tandem:
        rows |= _drafter_rows(config, params, state, inputs)[1]
    return rows, state


def router(config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays):
    """Graph `router`: drafter logits `[B, V]` -> predicted acceptance `[B]`."""
    return steps.router(config, _wide(params), state, inputs)


def _wide(params: Arrays) -> Arrays:
    floating = {n for n, value in params.items() if jnp.issubdtype(value.dtype, jnp.floating)}
    return {n: v.astype(jnp.float32) if n in floating else v for n, v in params.items()}


def _primary_rows(
    config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Float[Array, "M D"], Arrays]:
    tokens, start = inputs["tokens"], inputs["start"]
    primary = steps.part(config, params, "primary")
    cache = _cache(config.primary, state, "primary", start)
    activations, rows = block_rows(primary, cache, tokens, start)
    outputs = _named("primary", rows)
    if config.is_tandem:
        outputs |= _named("drafter", steps.prefix_rows(config, params, activations, tokens, start))
    return activations[-1], outputs


def _drafter_rows(
    config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Float[Array, "M D"], Arrays]:
    drafter = steps.part(config, params, "drafter")
    cache = _cache(config.drafter, state, "drafter", inputs["start"])
    activations, rows = block_rows(drafter, cache, inputs["tokens"], inputs["start"])
    return activations[-1], _named("drafter", rows)


def _cache(config: DecoderConfig, state: Arrays, who: str, start: Int[Array, " B"]) -> Cache:
    """One model's cache; a layer that no output depends on is not in the state, and zeros here.

    The rows of a last layer do not depend on what it attends to, and a prefill wants no more.
    """
    lengths = [value.shape[2] for name, value in state.items() if name.startswith(f"{who}_")]
    shape = (start.shape[0], config.num_kv_heads, max(lengths, default=1), config.head_size)
    nothing = jnp.zeros(shape, jnp.float32)
    names = [(f"{who}_k.{j:02}", f"{who}_v.{j:02}") for j in range(config.num_layers)]
    return [(state.get(k, nothing), state.get(v, nothing)) for k, v in names]


def _named(who: str, rows: list[KeyValue]) -> Arrays:
    return {
        f"rows.{who}_{x}.{j:02}": row
        for j, pair in enumerate(rows)
        for x, row in zip("kv", pair, strict=True)
    }
