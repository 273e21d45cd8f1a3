"""Puts a SPEED round together: draft, verify, accept, advance."""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tandem_export.graphs.graph import Arrays
from tandem_export.graphs.numerics import switch, take_along_axis
from tandem_export.graphs.program import RoundProgram
from tandem_export.graphs.round.accept import Commit, accept
from tandem_export.graphs.round.draft import Draft, draft, no_draft
from tandem_export.graphs.round.verify import DraftedBlock, verify_block
from tandem_export.graphs.round.verify_sampled import Verification
from tandem_export.graphs.state import Block, Caches, Registers, Sampling, State
from tandem_export.graphs.steps import primary_logits, run_primary


@dataclass(frozen=True, kw_only=True)
class RoundOutputs:
    """What a round committed, and how.

    Attributes:
      tokens: `[B, W]` int32, -1 past `count`.
      count: `[B]` int32.
      logprob: `[B, W]` float32, the primary's log-probability at temperature 1 (nats).
      drafted: `[B]` int32, drafts that were verified.
      stopped: `[B]` int32, 1 where the router ended the draft.
      drafter_steps: `[]` int32, drafter runs of the whole batch.
    """

    tokens: Int[Array, "B W"]
    count: Int[Array, " B"]
    logprob: Float[Array, "B W"]
    drafted: Int[Array, " B"]
    stopped: Int[Array, " B"]
    drafter_steps: Int[Array, ""]


def round_graph(
    program: RoundProgram, params: Arrays, state: Arrays, inputs: Arrays
) -> tuple[Arrays, Arrays]:
    """Returns graphs `round` and `round_router`: sampling inputs -> `RoundOutputs` by name."""
    outputs, after = speed_round(program, params, State.read(state), Sampling.read(inputs))
    return dict(vars(outputs)), state | after.named()


def speed_round(
    program: RoundProgram, params: Arrays, state: State, sampling: Sampling
) -> tuple[RoundOutputs, State]:
    """Runs one round.

    Every row has its own position, budget and sampling inputs; idle rows (budget 0) commit nothing.
    """
    registers, caches = state
    if program.gamma == 0:
        drafted = no_draft(registers, program.steps.config.primary.vocab_size)
    else:
        drafted, drafter = draft(program, params, state, sampling)
        caches = caches._replace(drafter=drafter)
    verified, caches = _verify(program, params, State(registers, caches), drafted, sampling)
    commit = accept(verified, sampling.rule, idle=registers.budget <= 0)
    outputs = RoundOutputs(
        tokens=commit.tokens,
        count=commit.committed,
        logprob=commit.logprob,
        drafted=drafted.limit,
        stopped=drafted.stopped,
        drafter_steps=drafted.steps,
    )
    return outputs, State(advance(registers, commit), caches)


def _verify(
    program: RoundProgram, params: Arrays, state: State, drafted: Draft, sampling: Sampling
) -> tuple[Verification, Caches]:
    """Runs the primary over `last` and the drafts, and verifies them.

    A program of one width verifies every round at it (lossless = exact); otherwise the smallest
    width that holds the longest draft is chosen. Offsets past it are padded and never accepted.
    """
    registers, caches = state
    config = program.steps.config
    tokens = jnp.concatenate([registers.last[:, None], drafted.tokens], 1)

    def at_width(width: int, caches: Caches) -> tuple[Verification, Caches]:
        block = Block(tokens[:, :width], registers.position)
        x, caches = run_primary(program.steps, params, caches, block)
        verified = verify_block(
            lambda: primary_logits(config, params, x, block.tokens),
            _first_drafts(drafted, width, registers.position),
            sampling,
        )
        padding = ((0, 0), (0, program.gamma + 1 - width))
        return Verification(*(jnp.pad(value, padding) for value in verified)), caches

    widths = program.widths
    if len(widths) == 1:
        return at_width(widths[0], caches)
    choice = jnp.sum(jnp.max(drafted.limit) + 1 > jnp.array(widths, jnp.int32))
    branches = [partial(at_width, width) for width in widths]
    return switch(choice, branches, caches)


def _first_drafts(drafted: Draft, width: int, position: Int[Array, " B"]) -> DraftedBlock:
    """Returns the drafts of a block of `width` tokens, the first of which is at `position`."""
    decided = position[:, None] + 1 + jnp.arange(width, dtype=jnp.int32)[None, :]
    return DraftedBlock(
        drafted.tokens[:, : width - 1], drafted.limit, drafted.log_probs_drafter, decided
    )


def advance(registers: Registers, commit: Commit) -> Registers:
    """Moves the registers past the committed tokens."""
    count = commit.committed

    def token_at(offset: Int[Array, " B"]) -> Int[Array, " B"]:
        return take_along_axis(commit.tokens, jnp.maximum(offset, 0)[:, None], 1)[:, 0]

    one_back = jnp.where(count > 1, token_at(count - 2), registers.last)
    return Registers(
        budget=registers.budget - count,
        last=jnp.where(count > 0, token_at(count - 1), registers.last),
        position=registers.position + count,
        previous=jnp.where(count > 0, one_back, registers.previous),
    )
