"""What a call may ask for, checked inside the graph, in one step with what the call does.

A check that reads the slots before the call would race with other callers. So each signature
computes the first broken rule itself; a refused call then works on the scratch slot, on zeros, and
no other slot changes.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from tandem_export.contract import SAMPLING_INPUTS, Register, SamplingInput
from tandem_export.graphs import Arrays, Graph
from tandem_export.serving import NO_FREE_SLOT, NOT_HELD
from tandem_export.targets.savedmodel.session.pool import Pool


class Precondition(NamedTuple):
    """A rule, where it is broken (`[B]` or `[B, ...]` bool), and the values that it judges."""

    text: str
    broken: jax.Array
    got: jax.Array


class Problem(NamedTuple):
    """The first broken precondition: its number from 1, 0 for none; the row, and the value there.

    All are scalars: int32, int32, float32.
    """

    code: jax.Array
    row: jax.Array
    got: jax.Array


def within(name: str, value: jax.Array, low: float, high: float) -> Precondition:
    """Demands `low <= value <= high`; NaN breaks it."""
    outside = _outside(value, jnp.asarray(low, value.dtype), jnp.asarray(high, value.dtype))
    return Precondition(f"`{name}` must be within {low} .. {high}", outside, value)


@jax.jit
def _outside(value: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    return ~((value >= low) & (value <= high))


def sampling_rules(inputs: Arrays) -> list[Precondition]:
    """Returns the rules of a round's sampling inputs, which are those of `SamplingParams`."""
    rows = [row for row in SAMPLING_INPUTS.values() if row.name in inputs and row.words == 1]
    return [_in_range(row, inputs[row.name]) for row in rows]


def _in_range(row: SamplingInput, value: jax.Array) -> Precondition:
    if row.above_low:
        return Precondition(row.rule, ~row.allows(value), value)
    return within(row.name, value, row.low, row.high)


def generate_rules(graph: Graph, pool: Pool, inputs: Arrays) -> list[Precondition]:
    """Returns the rules of `generate`; a row that asks for 0 new tokens pads the batch."""
    assert graph.width is not None
    vocab_size = pool.vocab_size
    tokens, length = inputs["tokens"], inputs["length"]
    place = jnp.arange(graph.width, dtype=jnp.int32)[None, :]
    outside = ~((tokens >= 0) & (tokens < vocab_size)) & (place < length[:, None])
    stops = inputs["stop_tokens"]
    return [
        within("length", length, 1, graph.width),
        Precondition(f"`tokens` must be within 0 .. {vocab_size - 1}", outside, tokens),
        within("max_new_tokens", inputs["max_new_tokens"], 0, pool.max_new),
        within("stop_tokens", stops, -1, vocab_size - 1),
        *sampling_rules(inputs),
    ]


def slot_rules(pool: Pool, state: Arrays, slots: jax.Array, owner: jax.Array) -> list[Precondition]:
    """Demands that slots exist, are named once and are the caller's, or the scratch slot."""
    real = slots != pool.scratch
    twins = (slots[:, None] == slots[None, :]) & real[:, None]
    held = state["owner"][jnp.clip(slots, 0, pool.scratch)] == owner[0]
    return [
        within("owner", owner, 1, 2**31 - 1),
        within("slots", slots, 0, pool.scratch),
        Precondition("`slots` must be distinct", jnp.sum(twins, 1) > 1, slots),
        Precondition(NOT_HELD, real & ~held, slots),
    ]


def block_rules(graph: Graph, pool: Pool, inputs: Arrays) -> list[Precondition]:
    """Returns the rules of a block of tokens that is written at `start`."""
    assert graph.width is not None
    return [
        within("tokens", inputs["tokens"], 0, pool.vocab_size - 1),
        within("start", inputs["start"], 0, pool.cache - graph.width),
    ]


def round_rules(graph: Graph, pool: Pool, state: Arrays, inputs: Arrays) -> list[Precondition]:
    """Returns the rules of a round: its sampling inputs, and room for its block in the cache."""
    assert graph.width is not None
    at = jnp.clip(inputs["slots"], 0, pool.scratch)
    position, active = state[Register.POSITION][at], state[Register.BUDGET][at] > 0
    last = pool.cache - graph.width
    full = f"the cache is full: a row's position must be at most {last}"
    return [Precondition(full, active & (position > last), position), *sampling_rules(inputs)]


def insert_rules(pool: Pool, state: Arrays, inputs: Arrays) -> list[Precondition]:
    """Returns the rules of the registers that a row starts with."""
    target, owner, position = inputs["target"], inputs["owner"], inputs[Register.POSITION]
    held = state["owner"][jnp.clip(target, 0, pool.scratch)] == owner
    room = pool.cache - 1 - position
    budget = inputs[Register.BUDGET]
    return [
        within("target", target, 0, pool.scratch),
        Precondition(
            NOT_HELD.replace("slots", "target", 1), (target != pool.scratch) & ~held, target
        ),
        within(Register.POSITION, position, 0, pool.cache - 1),
        within(Register.LAST, inputs[Register.LAST], 0, pool.vocab_size - 1),
        within(Register.PREVIOUS, inputs[Register.PREVIOUS], 0, pool.vocab_size - 1),
        Precondition(
            f"`budget` must be at least 0, and position + 1 + budget at most {pool.cache}",
            ~((budget >= 0) & (budget <= room)),
            budget,
        ),
        # A padding row must stay idle.
        Precondition(
            "`budget` must be 0 on the scratch slot",
            (target == pool.scratch) & (budget > 0),
            budget,
        ),
    ]


def claim_rules(free: jax.Array, owner: jax.Array) -> list[Precondition]:
    """Returns the rules of a claim; `free` is `[N]`, True where nobody holds the slot."""
    none = ~jnp.any(free)
    return [within("owner", owner, 1, 2**31 - 1), Precondition(NO_FREE_SLOT, none[None], owner)]


def first_problem(rules: list[Precondition]) -> Problem:
    """Returns the first broken rule, the first row that breaks it, and the value there."""
    judged = [_judge(rule.broken, rule.got) for rule in rules]
    broken, row, got = (jnp.stack(column) for column in zip(*judged, strict=True))
    first = jnp.argmax(broken).astype(jnp.int32)
    code = jnp.where(jnp.any(broken), first + 1, 0)
    return Problem(code, row[first], got[first])


@jax.jit  # a module holds one for every shape, and not one for every rule
def _judge(broken: jax.Array, got: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns whether a rule is broken, the first row where it is, the value there."""
    at = jnp.argmax(broken).astype(jnp.int32)
    row = at // (broken.size // broken.shape[0])
    return jnp.any(broken), row, got.reshape(-1)[at].astype(jnp.float32)
