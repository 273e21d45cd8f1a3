"""Defines the single steps over a state that they write."""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tandem_export.config import TandemConfig
from tandem_export.contract import prefix_name
from tandem_export.graphs.graph import Arrays
from tandem_export.graphs.numerics import take_along_axis
from tandem_export.graphs.program import StepProgram
from tandem_export.graphs.state import Block, Cache, Caches
from tandem_export.graphs.steps.cache import (
    block_positions,
    first_rows,
    run_block,
    write_layers,
)
from tandem_export.model import Decoder, Drafter, KeyValue, bind, joined


def primary_of(config: TandemConfig, params: Arrays) -> Decoder:
    """Returns the primary over a graph's parameters."""
    return bind(config, "primary", _tensors(params, "primary"))


def drafter_of(config: TandemConfig, params: Arrays) -> Drafter:
    """Returns the drafter over a graph's parameters."""
    return bind(config, "drafter", _tensors(params, "drafter"))


def _tensors(params: Arrays, part: str) -> Arrays:
    return {key.split(".", 1)[1]: x for key, x in params.items() if key.startswith(part)}


def run_primary(
    program: StepProgram, params: Arrays, caches: Caches, block: Block
) -> tuple[Float[Array, "M D"], Caches]:
    """Runs the primary over a block; returns the last activations and both caches, written.

    In a tandem pair the drafter's rows of the block become those that its layers make of the
    projected primary activations (decision 3). No product has fewer than `least_rows` rows: the
    activations are those of the padded block, of which only T rows are written.
    """
    T, padded = block.tokens.shape[1], _padded(block, program.least_rows)
    primary = primary_of(program.config, params)
    activations, cache = run_block(primary, caches.primary, padded, program.attention, write=T)
    drafter = caches.drafter
    if program.config.is_tandem:
        rows = projected_rows(program.config, params, activations, padded)
        drafter = write_layers(drafter, [first_rows(layer, T) for layer in rows], block.start)
    return activations[-1], Caches(cache, drafter)


def _padded(block: Block, least: int) -> Block:
    """Repeats the last token of each row until the block has `least` tokens in all."""
    missing = least - block.tokens.size
    if missing <= 0:
        return block
    return block._replace(tokens=jnp.pad(block.tokens, ((0, 0), (0, missing)), mode="edge"))


def projected_rows(
    config: TandemConfig, params: Arrays, activations: list[Float[Array, "M D"]], block: Block
) -> list[KeyValue]:
    """Returns, per layer, the drafter's rows `[B, K, T, H]` of a block that the primary ran."""
    positions = block_positions(block.start, block.tokens.shape[1])
    return drafter_of(config, params).prefix_key_value(activations, positions)


def primary_logits(
    config: TandemConfig, params: Arrays, x: Float[Array, "M D"], tokens: Int[Array, "B T"]
) -> Float[Array, "B T V"]:
    """Applies the primary's output head to the flattened rows of a block and of its padding.

    Rows take their shape before the head: on a TPU logits that are reshaped are copied twice.
    """
    B, T = tokens.shape
    rows = x.reshape(B, -1, x.shape[-1])
    return primary_of(config, params).logits(rows)[:, :T]


def run_drafter(
    program: StepProgram, params: Arrays, cache: Cache, block: Block, offset: Int[Array, " B"]
) -> tuple[Float[Array, "B V"], Cache]:
    """Runs the drafter over its own tokens; returns the logits after token `offset`, and its cache.

    No product has fewer than `least_rows` rows: one token of one row runs twice, and is written
    once.
    """
    B, T = block.tokens.shape
    drafter, least = drafter_of(program.config, params), program.least_rows
    activations, cache = run_block(
        drafter, cache, _padded(block, least), program.attention, write=T
    )
    # With few rows the head comes before one offset is picked: the pick would leave too few.
    rows, few = activations[-1], least > B
    rows = drafter.logits(rows) if few else rows
    picked = take_along_axis(rows.reshape(B, -1, rows.shape[-1]), offset[:, None, None], 1)[:, 0]
    return picked if few else drafter.logits(picked), cache


def primary_block(
    program: StepProgram, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Arrays, Arrays]:
    """Computes `primary_block`: tokens `[B, T]`, start `[B]` -> logits `[B, T, V]` float32."""
    block = Block.read(inputs)
    x, caches = run_primary(program, params, Caches.read(state), block)
    logits = primary_logits(program.config, params, x, block.tokens)
    return {"logits": logits}, state | caches.named()


def drafter_step(
    program: StepProgram, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Arrays, Arrays]:
    """Computes `drafter_step`: tokens `[B, T]`, start `[B]` -> logits `[B, V]` of the last one."""
    block, caches = Block.read(inputs), Caches.read(state)
    last = jnp.full_like(block.start, block.tokens.shape[1] - 1)
    logits, cache = run_drafter(program, params, caches.drafter, block, last)
    return {"logits": logits}, state | caches._replace(drafter=cache).named()


def prefill(
    program: StepProgram, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Arrays, Arrays]:
    """Computes `prefill`: writes a prompt chunk into both caches; no logits.

    Rows past the prompt's end are written too; nothing reads them before they are overwritten.
    """
    block = Block.read(inputs)
    _, caches = run_primary(program, params, Caches.read(state), block)
    if not program.config.is_tandem:
        first = jnp.zeros_like(block.start)
        _, drafter = run_drafter(program, params, caches.drafter, block, first)
        caches = caches._replace(drafter=drafter)
    return {}, state | caches.named()


def router(
    config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Arrays, Arrays]:
    """Computes `router`: drafter logits `[B, V]` -> predicted acceptance `[B]`."""
    return {"acceptance": predict_acceptance(config, params, inputs["logits"])}, state


def predict_acceptance(
    config: TandemConfig, params: Arrays, logits: Float[Array, "B V"]
) -> Float[Array, " B"]:
    """Returns the predicted acceptance, 1 - p(disagree), of a token drawn from drafter logits."""
    rows = params.get("drafter.vocabulary.rows")
    embedding = joined(params)["drafter.embedding.weight"]
    router = bind(config, "router", _tensors(params, "router"))
    return router(logits, embedding, rows)


def insert(params: Arrays, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
    """Computes `insert`: copies a prefilled row into row `slot` of every state array."""
    del params
    slot = inputs["slot"]

    def put(name: str, array: Array) -> Array:
        corner = (slot, *(jnp.int32(0),) * (array.ndim - 1))
        return jax.lax.dynamic_update_slice(array, inputs[prefix_name(name)], corner)

    return {}, {name: put(name, array) for name, array in state.items()}
