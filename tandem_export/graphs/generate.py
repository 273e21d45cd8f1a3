"""Runs the whole SPEED loop as one stateless graph: prompts in, tokens out."""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tandem_export.contract import AcceptanceRule
from tandem_export.graphs.graph import Arrays
from tandem_export.graphs.numerics import take_along_axis
from tandem_export.graphs.program import GenerateProgram
from tandem_export.graphs.round import RoundOutputs, speed_round
from tandem_export.graphs.state import Registers, Sampling, State
from tandem_export.graphs.steps import prefill


class Statistics(NamedTuple):
    """Counts of each row, `[B]` int32."""

    drafted: Int[Array, " B"]
    accepted: Int[Array, " B"]
    rounds: Int[Array, " B"]
    stopped: Int[Array, " B"]
    drafter_steps: Int[Array, " B"]


class _Loop(NamedTuple):
    """Carry of the loop over rounds.

    Attributes:
      state: registers and caches.
      tokens: `[B, A]` int32, the answer so far, -1 past it.
      logprob: `[B, A]` float32.
      written: `[B]` int32, tokens of the answer so far.
      statistics: so far.
    """

    state: State
    tokens: Int[Array, "B A"]
    logprob: Float[Array, "B A"]
    written: Int[Array, " B"]
    statistics: Statistics


def generate(
    program: GenerateProgram, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Arrays, Arrays]:
    """Answers prompts `[B, S]` of `length [B]` tokens with at most `max_new`: graph `generate`.

    Beside the sampling inputs of a round it takes `max_new_tokens [B]` and `stop_tokens [B, E]` (-1
    is unused). A stop token ends the answer and is its last token. Outputs: `tokens [B, max_new]`
    (-1 past the count), `logprob`, `count [B]` and the `Statistics`.
    """
    sampling = Sampling.read(inputs)

    def step(loop: _Loop) -> _Loop:
        active = loop.state.registers.budget > 0
        out, (registers, caches) = speed_round(program.round, params, loop.state, sampling)
        count, stopped = _until_stop(out.tokens, out.count, inputs["stop_tokens"])
        registers = registers._replace(budget=jnp.where(stopped, 0, registers.budget))
        return _Loop(
            State(registers, caches),
            _append(loop.tokens, out.tokens, loop.written, count),
            _append(loop.logprob, out.logprob, loop.written, count),
            loop.written + count,
            _count(loop.statistics, out, active, sampling.rule),
        )

    first = _start(program, params, inputs)
    end = jax.lax.while_loop(lambda loop: jnp.any(loop.state.registers.budget > 0), step, first)
    width = program.max_new
    inside = jnp.arange(width, dtype=jnp.int32)[None, :] < end.written[:, None]
    outputs = {
        "tokens": jnp.where(inside, end.tokens[:, :width], -1),
        "logprob": jnp.where(inside, end.logprob[:, :width], 0.0),
        "count": end.written,
    }
    return outputs | end.statistics._asdict(), state


def _start(program: GenerateProgram, params: Arrays, inputs: Arrays) -> _Loop:
    """Prefills the prompt over empty caches (all but its last token matter); sets the registers."""
    prompt, length = inputs["tokens"], inputs["length"]
    zeros = jnp.zeros_like(length)
    state = {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in program.state.items()}
    _, state = prefill(program.prefill, params, state, {"tokens": prompt, "start": zeros})

    def at(index: Int[Array, " B"]) -> Int[Array, " B"]:
        return take_along_axis(prompt, jnp.maximum(index, 0)[:, None], 1)[:, 0]

    registers = Registers(
        budget=jnp.minimum(inputs["max_new_tokens"], program.max_new),
        last=at(length - 1),
        position=length - 1,
        previous=at(length - 2),
    )
    answer = (length.shape[0], program.max_new + program.round.gamma + 1)
    return _Loop(
        state=State(registers, State.read(state).caches),
        tokens=jnp.full(answer, -1, jnp.int32),
        logprob=jnp.zeros(answer, jnp.float32),
        written=zeros,
        statistics=Statistics(*(zeros for _ in Statistics._fields)),
    )


def _until_stop(
    tokens: Int[Array, "B W"], count: Int[Array, " B"], stop_tokens: Int[Array, "B E"]
) -> tuple[Int[Array, " B"], Bool[Array, " B"]]:
    """Returns how many of a round's tokens count, the stop token included, and if there was one."""
    offset = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None, :]
    is_stop = jnp.any(tokens[:, :, None] == stop_tokens[:, None, :], -1)
    is_stop &= offset < count[:, None]
    stopped = jnp.any(is_stop, 1)
    return jnp.where(stopped, jnp.argmax(is_stop, 1).astype(jnp.int32) + 1, count), stopped


def _append(answer: Array, new: Array, written: Int[Array, " B"], count: Int[Array, " B"]) -> Array:
    """Writes the first `count` new values of each row after those that are `written`."""
    W = new.shape[1]
    offset = jnp.arange(W, dtype=jnp.int32)
    for b in range(answer.shape[0]):
        old = jax.lax.dynamic_slice(answer, (b, written[b]), (1, W))
        row = jnp.where((offset < count[b])[None, :], new[b : b + 1], old)
        answer = jax.lax.dynamic_update_slice(answer, row, (b, written[b]))
    return answer


def _count(
    statistics: Statistics, out: RoundOutputs, active: Bool[Array, " B"], rule: Int[Array, " B"]
) -> Statistics:
    is_active = active.astype(jnp.int32)
    primary_tokens = jnp.where(rule == AcceptanceRule.STANDALONE, 0, 1)
    accepted = jnp.minimum(out.drafted, jnp.maximum(out.count - primary_tokens, 0))
    new = Statistics(
        drafted=out.drafted,
        accepted=accepted,
        rounds=is_active,
        stopped=out.stopped,
        drafter_steps=out.drafter_steps * is_active,
    )
    return jax.tree.map(jnp.add, statistics, new)
