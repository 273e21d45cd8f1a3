"""The single steps: primary block, drafter step, router, prefill, insert."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tandem_export.config import TandemConfig
from tandem_export.graphs.cache import (
    block_positions,
    first_rows,
    get_cache,
    put_cache,
    run_block,
    write_layers,
)
from tandem_export.graphs.indexing import take_along_axis
from tandem_export.graphs.spec import Arrays, BuildOptions, Form
from tandem_export.model import KeyValue, bind, joined

REGISTERS = ("budget", "last", "position", "previous")


def part(config: TandemConfig, params: Arrays, name: str):
    """The model `primary`, `drafter` or `router` over the graph's parameters."""
    own = {key.split(".", 1)[1]: value for key, value in params.items() if key.startswith(name)}
    return bind(config, name, own)


def run_primary(
    config: TandemConfig,
    form: Form,
    params: Arrays,
    state: Arrays,
    tokens: Int[Array, "B T"],
    start: Int[Array, " B"],
    *,
    least: int = 1,
) -> tuple[Float[Array, "M D"], Arrays]:
    """Runs the primary over a block: the last activations, and the state with both caches written.

    In a tandem pair the drafter's rows of the block become those that its layers make of the
    projected primary activations (ruling 3). No product has fewer than `least` rows: the
    activations are those of `at_least(tokens, least)`, of which only T are written.
    """
    T, padded = tokens.shape[1], at_least(tokens, least)
    primary, cache = part(config, params, "primary"), get_cache(state, "primary")
    activations, cache = run_block(primary, cache, padded, start, form, keep=T)
    state = put_cache(state, "primary", cache)
    if config.is_tandem:
        rows = [first_rows(kv, T) for kv in prefix_rows(config, params, activations, padded, start)]
        state = put_cache(state, "drafter", write_layers(get_cache(state, "drafter"), rows, start))
    return activations[-1], state


def at_least(tokens: Int[Array, "B T"], least: int) -> Int[Array, "B P"]:
    """The tokens, the last of each row repeated until there are `least` in all."""
    missing = least - tokens.size
    return jnp.pad(tokens, ((0, 0), (0, missing)), mode="edge") if missing > 0 else tokens


def prefix_rows(
    config: TandemConfig,
    params: Arrays,
    activations: list[Float[Array, "M D"]],
    tokens: Int[Array, "B T"],
    start: Int[Array, " B"],
) -> list[KeyValue]:
    """The drafter's rows `[B, K, T, H]` per layer of a block that the primary has processed."""
    positions = block_positions(start, tokens.shape[1])
    return part(config, params, "drafter").prefix_key_value(activations, positions)


def primary_logits(
    config: TandemConfig, params: Arrays, x: Float[Array, "M D"], tokens: Int[Array, "B T"]
) -> Float[Array, "B T V"]:
    """The primary's output head over the flattened rows of a block and of its padding.

    Rows take their shape before the head: on a TPU logits that are reshaped are copied twice.
    """
    B, T = tokens.shape
    rows = x.reshape(B, -1, x.shape[-1])
    return part(config, params, "primary").logits(rows)[:, :T]


def run_drafter(
    config: TandemConfig,
    form: Form,
    params: Arrays,
    state: Arrays,
    tokens: Int[Array, "B T"],
    start: Int[Array, " B"],
    pick: Int[Array, " B"],
    *,
    least: int = 1,
) -> tuple[Float[Array, "B V"], Arrays]:
    """Runs the drafter over its own tokens: logits after token `pick` of them, and the state.

    No product has fewer than `least` rows: one token of one row runs twice, and is written once.
    """
    B, T = tokens.shape
    drafter, cache = part(config, params, "drafter"), get_cache(state, "drafter")
    activations, cache = run_block(drafter, cache, at_least(tokens, least), start, form, keep=T)
    rows, few = activations[-1], least > B
    rows = drafter.logits(rows) if few else rows  # before the pick, which leaves too few
    picked = take_along_axis(rows.reshape(B, -1, rows.shape[-1]), pick[:, None, None], 1)[:, 0]
    return picked if few else drafter.logits(picked), put_cache(state, "drafter", cache)


def primary_block(
    config: TandemConfig, options: BuildOptions, params: Arrays, state: Arrays, inputs: Arrays
):
    """Graph `primary_block`: tokens `[B, T]`, start `[B]` -> logits `[B, T, V]` float32."""
    tokens, start = inputs["tokens"], inputs["start"]
    form, least = options.attention, options.least_rows
    x, state = run_primary(config, form, params, state, tokens, start, least=least)
    return {"logits": primary_logits(config, params, x, tokens)}, state


def drafter_step(
    config: TandemConfig, options: BuildOptions, params: Arrays, state: Arrays, inputs: Arrays
):
    """Graph `drafter_step`: tokens `[B, T]`, start `[B]` -> logits `[B, V]` of the last token."""
    tokens, start = inputs["tokens"], inputs["start"]
    last = jnp.full_like(start, tokens.shape[1] - 1)
    form, least = options.attention, options.least_rows
    logits, state = run_drafter(config, form, params, state, tokens, start, last, least=least)
    return {"logits": logits}, state


def prefill(config: TandemConfig, form: Form, params: Arrays, state: Arrays, inputs: Arrays):
    """Graph `prefill`: a prompt chunk into both caches, no logits.

    Rows past the prompt's end are written too; nothing reads them before they are overwritten.
    """
    tokens, start = inputs["tokens"], inputs["start"]
    _, state = run_primary(config, form, params, state, tokens, start)
    if not config.is_tandem:
        _, state = run_drafter(config, form, params, state, tokens, start, jnp.zeros_like(start))
    return {}, state


def router(config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays):
    """Graph `router`: drafter logits `[B, V]` -> predicted acceptance `[B]`."""
    return {"acceptance": predict_acceptance(config, params, inputs["logits"])}, state


def predict_acceptance(
    config: TandemConfig, params: Arrays, logits: Float[Array, "B V"]
) -> Float[Array, " B"]:
    """Predicted acceptance, 1 - p(disagree), of a token drawn from these drafter logits."""
    rows = params.get("drafter.vocabulary.rows")
    embedding = joined(params)["drafter.embedding.weight"]
    return part(config, params, "router")(logits, embedding, rows)


def insert(params: Arrays, state: Arrays, inputs: Arrays):
    """Graph `insert`: copies row 0 of `prefix.<name>` into row `slot` of every state array."""
    del params
    slot = inputs["slot"]

    def put(name: str, whole: Array) -> Array:
        row = inputs[f"prefix.{name}"]
        start = (slot, *(jnp.int32(0),) * (whole.ndim - 1))
        return jax.lax.dynamic_update_slice(whole, row, start)

    return {}, {name: put(name, whole) for name, whole in state.items()}
