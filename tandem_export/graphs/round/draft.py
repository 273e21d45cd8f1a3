"""Drafts up to G tokens in one loop of drafter steps, which ends when no row wants more."""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tandem_export.contract import AcceptanceRule, Stream
from tandem_export.graphs.graph import Arrays
from tandem_export.graphs.numerics import choose, cond, gumbel, processed_log_probs
from tandem_export.graphs.program import RoundProgram
from tandem_export.graphs.state import Block, Cache, Registers, Sampling, State
from tandem_export.graphs.steps import predict_acceptance, run_drafter


class Draft(NamedTuple):
    """The draft of a round; while drafting, the draft so far.

    Attributes:
      steps: [] int32, drafter runs so far.
      limit: `[B]` int32, how many tokens the row drafts; the router lowers it.
      stopped: `[B]` int32, 1 where the router ended the draft.
      tokens: `[B, G]` int32.
      log_probs_drafter: `[G, B, V]` float32, from which each draft was drawn; not written where
        every row is greedy.
    """

    steps: Int[Array, ""]
    limit: Int[Array, " B"]
    stopped: Int[Array, " B"]
    tokens: Int[Array, "B G"]
    log_probs_drafter: Float[Array, "G B V"]


class _Loop(NamedTuple):
    """Carry of the drafting loop; its final value is the draft and the drafter's cache."""

    draft: Draft
    cache: Cache


def _empty(limit: Int[Array, " B"], gamma: int, vocab_size: int) -> Draft:
    """Returns a draft without tokens; at gamma 0 its log-probabilities keep one unused offset."""
    B = limit.shape[0]
    return Draft(
        steps=jnp.int32(0),
        limit=limit,
        stopped=jnp.zeros((B,), jnp.int32),
        tokens=jnp.zeros((B, gamma), jnp.int32),
        log_probs_drafter=jax.lax.empty((max(gamma, 1), B, vocab_size), jnp.float32),
    )


def no_draft(registers: Registers, vocab_size: int) -> Draft:
    """Returns the draft of a round of the primary alone."""
    return _empty(jnp.zeros_like(registers.last), 0, vocab_size)


def draft(
    program: RoundProgram, params: Arrays, state: State, sampling: Sampling
) -> tuple[Draft, Cache]:
    """Drafts at most G tokens per row after its `last` token; returns the drafter's cache too.

    A row drafts at most `max_draft` tokens and never more than its budget can commit.
    """
    registers, steps = state.registers, program.steps
    vocab_size = steps.config.primary.vocab_size
    reserve = jnp.where(sampling.rule == AcceptanceRule.STANDALONE, 0, 1)
    most = jnp.minimum(sampling.max_draft, registers.budget - reserve)
    limit = jnp.clip(most, 0, program.gamma)
    start = _Loop(_empty(limit, program.gamma, vocab_size), state.caches.drafter)

    def advance(loop: _Loop, window: Int[Array, "B T"]) -> _Loop:
        newest = registers.position + loop.draft.steps
        start = jnp.maximum(newest - (window.shape[1] - 1), 0)
        block = Block(window, start)
        logits, cache = run_drafter(steps, params, loop.cache, block, newest - start)
        longer = _add_token(loop.draft, logits, registers.position, sampling)
        if program.use_router:
            predicted = predict_acceptance(steps.config, params, logits)
            longer = _stop_unlikely(longer, predicted, sampling)
        return _Loop(longer, cache)

    def token_before(draft: Draft) -> Int[Array, "B 1"]:
        at = jnp.maximum(draft.steps - 1, 0)
        previous = jax.lax.dynamic_slice_in_dim(draft.tokens, at, 1, 1)
        return jnp.where(draft.steps == 0, registers.last[:, None], previous)

    if not steps.config.is_tandem:
        start = advance(start, _catch_up_window(registers))
    return jax.lax.while_loop(
        lambda loop: loop.draft.steps < jnp.max(loop.draft.limit),
        lambda loop: advance(loop, token_before(loop.draft)),
        start,
    )


def _catch_up_window(registers: Registers) -> Int[Array, "B 2"]:
    """Returns `previous` and `last`: an independent drafter has not seen its last accepted draft.

    At position 0 there is no token before `last`; the window then starts at it, and the row that
    its second token writes is overwritten by the next step.
    """
    first = jnp.where(registers.position > 0, registers.previous, registers.last)
    return jnp.stack([first, registers.last], 1)


def _add_token(
    draft: Draft, logits: Float[Array, "B V"], position: Int[Array, " B"], sampling: Sampling
) -> Draft:
    """Draws this step's token and records the distribution from which it was drawn."""
    greedy = jnp.argmax(logits, -1).astype(jnp.int32)

    def sampled(log_probs_drafter: Array) -> tuple[Array, Array]:
        log_probs = processed_log_probs(logits, sampling)
        index = position + draft.steps + 1
        noise = gumbel(sampling.seed, index, Stream.TOKEN, logits.shape[-1])
        token = jnp.where(sampling.temperature > 0, choose(log_probs, noise), greedy)
        drawn = log_probs[None]  # one step of the draft
        return token, jax.lax.dynamic_update_slice_in_dim(log_probs_drafter, drawn, draft.steps, 0)

    def unsampled(log_probs_drafter: Array) -> tuple[Array, Array]:
        return greedy, log_probs_drafter

    any_sampled = jnp.any(sampling.temperature > 0)
    token, log_probs_drafter = cond(any_sampled, sampled, unsampled, draft.log_probs_drafter)
    tokens = jax.lax.dynamic_update_slice_in_dim(draft.tokens, token[:, None], draft.steps, 1)
    return draft._replace(steps=draft.steps + 1, tokens=tokens, log_probs_drafter=log_probs_drafter)


def _stop_unlikely(draft: Draft, predicted: Float[Array, " B"], sampling: Sampling) -> Draft:
    """Ends the draft of rows whose newest token is likely rejected: it goes on while a >= tau."""
    assert sampling.tau is not None
    stop = (predicted < sampling.tau) & (draft.steps < draft.limit)
    limit = jnp.where(stop, draft.steps, draft.limit)
    return draft._replace(limit=limit, stopped=draft.stopped | stop.astype(jnp.int32))
