"""Verifies a block's drafts against the primary's logits.

The logits of a block are the largest array of a round: 160 rows of 256,000 float32 are more than
the on-chip memory of a TPU v5e. So they are computed where they are needed. Where the primary's
argmax decides, the reductions that it needs are computed with them; where tokens are sampled, all
logits are kept, but the distributions are made one offset after the other.
"""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tandem_export.graphs.numerics import cond
from tandem_export.graphs.round.verify_sampled import (
    BlockOffset,
    Verification,
    accepts_all,
    verify_offset,
)
from tandem_export.graphs.state import Sampling

# Computes the primary's logits `[B, W, V]` of a block.
Logits = Callable[[], Array]


class DraftedBlock(NamedTuple):
    """The drafts of a block.

    Attributes:
      drafts: `[B, G]` int32.
      drafted: `[B]` int32, how many of a row's drafts count.
      log_probs_drafter: `[G, B, V]` float32, from which each was drawn, of one unused offset if G
        is 0; not written where every row is greedy.
      positions: `[B, W]` int32, index of the token that the logits at each offset decide.
    """

    drafts: Int[Array, "B G"]
    drafted: Int[Array, " B"]
    log_probs_drafter: Float[Array, "G B V"]
    positions: Int[Array, "B W"]


def verify_block(logits: Logits, block: DraftedBlock, sampling: Sampling) -> Verification:
    """Verifies every offset `[B, W]` of a block, or all up to where its row's draft ends.

    The output head is traced in both branches, so that the greedy branch need not materialise the
    logits that the sampled branch keeps.
    """
    return cond(
        jnp.any(sampling.temperature > 0),
        lambda: _offset_by_offset(logits(), block, sampling),
        lambda: _by_argmax(logits(), block, sampling),
    )


def _by_argmax(
    logits: Float[Array, "B W V"], block: DraftedBlock, sampling: Sampling
) -> Verification:
    """Verifies by the primary's argmax.

    A greedy round needs only reductions of the logits; a TPU's compiler fuses them into the head's
    matmul, so the logits are never materialised. A draft's logit is read by a masked maximum,
    because a gather would need the logits in memory.
    """
    primary_token = jnp.argmax(logits, -1).astype(jnp.int32)
    draft = _with_padding(block.drafts)
    entry = jnp.arange(logits.shape[-1], dtype=jnp.int32)[None, None, :]
    draft_logit = jnp.max(jnp.where(entry == draft[:, :, None], logits, -jnp.inf), -1)
    offset = jnp.arange(draft.shape[1], dtype=jnp.int32)[None, :]
    agrees = (primary_token == draft) | accepts_all(sampling.rule)[:, None]
    accepted = agrees & (offset < block.drafted[:, None])
    logit = jnp.where(accepted, draft_logit, jnp.max(logits, -1))
    token = jnp.where(accepted, draft, primary_token)
    return Verification(accepted, token, logit - jax.nn.logsumexp(logits, axis=-1))


class _Loop(NamedTuple):
    """Carry of the loop over offsets.

    Attributes:
      offset: [] int32, the next offset.
      still_accepted: `[B]`, whether all drafts of the row before it were accepted.
      verified: the results so far, `[W, B]`.
    """

    offset: Int[Array, ""]
    still_accepted: Bool[Array, " B"]
    verified: Verification


def _offset_by_offset(
    logits: Float[Array, "B W V"], block: DraftedBlock, sampling: Sampling
) -> Verification:
    """Verifies one offset after the other, so that one's distributions at a time are in memory.

    The loop ends with the longest accepted draft.
    """
    B, W, _ = logits.shape
    rows = (_with_padding(block.drafts), block.positions, logits)
    drafts, positions, by_offset = (jnp.moveaxis(values, 1, 0) for values in rows)
    last = block.log_probs_drafter.shape[0] - 1

    def step(loop: _Loop) -> _Loop:
        i = loop.offset
        offset = BlockOffset(
            logits=_at(by_offset, i),
            log_probs_drafter=_at(
                block.log_probs_drafter, jnp.minimum(i, last)
            ),  # after the last nothing was drawn
            draft=_at(drafts, i),
            is_draft=i < block.drafted,
            position=_at(positions, i),
            still_accepted=loop.still_accepted,
        )
        new = verify_offset(offset, sampling)
        verified = jax.tree.map(partial(_put, i), loop.verified, new)
        return _Loop(i + 1, loop.still_accepted & new.accepted, verified)

    blank = Verification(*(jnp.zeros((W, B), kind) for kind in (bool, jnp.int32, jnp.float32)))
    first = _Loop(jnp.int32(0), jnp.ones((B,), bool), blank)
    if W == 1:  # A loop of one turn is kept by XLA, and IREE's compiler fails over it.
        return jax.tree.map(jnp.transpose, step(first).verified)
    end = jax.lax.while_loop(
        lambda loop: (loop.offset < W) & jnp.any(loop.still_accepted), step, first
    )
    return jax.tree.map(jnp.transpose, end.verified)


def _at(values: Array, i: Array) -> Array:
    return cast(
        "Array",
        jax.lax.dynamic_index_in_dim(values, i, 0, keepdims=False, allow_negative_indices=False),
    )


def _put(i: Array, values: Array, new: Array) -> Array:
    return cast(
        "Array",
        jax.lax.dynamic_update_index_in_dim(values, new, i, 0, allow_negative_indices=False),
    )


def _with_padding(drafts: Int[Array, "B G"]) -> Int[Array, "B W"]:
    """Pads the drafts by one offset, which has no draft; its value is not read."""
    return jnp.pad(drafts, ((0, 0), (0, 1)))
