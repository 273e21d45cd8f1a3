"""What the primary's logits say of a block's drafts.

The logits of a block are the largest array of a round: 160 rows of 256,000 float32 are more than
the on-chip memory of a TPU v5e. So they are computed where they are needed. Where the primary's
argmax decides, that is beside what is asked of them; where tokens are sampled, it is all of them,
but the distributions of one place of the block after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tandem_export.graphs.place import Judgement, Place, judge_place
from tandem_export.graphs.rules import STANDALONE_FREE
from tandem_export.graphs.spec import Arrays

# Computes the primary's logits `[B, W, V]` of a block.
Logits = Callable[[], Array]


class Block(NamedTuple):
    """The drafts of a block.

    Attributes:
      drafts: `[B, G]` int32.
      drafted: `[B]` int32, how many of a row's drafts count.
      log_q: `[G, B, V]` float32, what each was drawn from, of one unused place if G is 0; not
        written where every row is greedy.
      positions: `[B, W]` int32, the position of the token that each place's logits decide.
    """

    drafts: Int[Array, "B G"]
    drafted: Int[Array, " B"]
    log_q: Float[Array, "G B V"]
    positions: Int[Array, "B W"]


def judge(logits: Logits, block: Block, sampling: Arrays) -> Judgement:
    """Judges every place `[B, W]` of a block, or all up to where its row's draft ends.

    The head is in both branches: what the sampled one keeps, the other need not.
    """
    return jax.lax.cond(
        jnp.any(sampling["temperature"] > 0),
        lambda: _place_by_place(logits(), block, sampling),
        lambda: _by_argmax(logits(), block, sampling),
    )


def _by_argmax(logits: Float[Array, "B W V"], block: Block, sampling: Arrays) -> Judgement:
    """The primary's argmax decides.

    All that is asked of the logits are maxima and sums over the vocabulary: a TPU's compiler puts
    them into the product that makes the logits, and those never are in memory. A draft's logit is a
    maximum over the one entry where it stands, because a gather would put them there.
    """
    own, draft = jnp.argmax(logits, -1).astype(jnp.int32), _one_more(block.drafts)
    entry = jnp.arange(logits.shape[-1], dtype=jnp.int32)[None, None, :]
    of_draft = jnp.max(jnp.where(entry == draft[:, :, None], logits, -jnp.inf), -1)
    place = jnp.arange(draft.shape[1], dtype=jnp.int32)[None, :]
    passes = (own == draft) | (sampling["rule"] >= STANDALONE_FREE)[:, None]
    ok = passes & (place < block.drafted[:, None])
    logit = jnp.where(ok, of_draft, jnp.max(logits, -1))
    return Judgement(ok, jnp.where(ok, draft, own), logit - jax.nn.logsumexp(logits, axis=-1))


class _Progress(NamedTuple):
    """How many places were judged, and `[B]` whether all drafts of a row were accepted there."""

    i: Int[Array, ""]
    going: Bool[Array, " B"]
    found: Judgement


def _place_by_place(logits: Float[Array, "B W V"], block: Block, sampling: Arrays) -> Judgement:
    """Only one place's distributions are in memory; the loop ends with the longest draft."""
    B, W, _ = logits.shape
    rows = (_one_more(block.drafts), block.positions, logits)
    drafts, positions, by_place = (jnp.moveaxis(values, 1, 0) for values in rows)
    last = block.log_q.shape[0] - 1

    def step(now: _Progress) -> _Progress:
        place = Place(
            logits=_at(by_place, now.i),
            log_q=_at(block.log_q, jnp.minimum(now.i, last)),  # behind the last nothing was drawn
            draft=_at(drafts, now.i),
            is_draft=now.i < block.drafted,
            position=_at(positions, now.i),
            going=now.going,
        )
        found = judge_place(place, sampling)
        judged = jax.tree.map(partial(_put, now.i), now.found, found)
        return _Progress(now.i + 1, now.going & found.ok, judged)

    nothing = Judgement(*(jnp.zeros((W, B), kind) for kind in (bool, jnp.int32, jnp.float32)))
    first = _Progress(jnp.int32(0), jnp.ones((B,), bool), nothing)
    done = jax.lax.while_loop(lambda now: (now.i < W) & jnp.any(now.going), step, first)
    return jax.tree.map(jnp.transpose, done.found)


def _at(values: Array, i: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(values, i, 0, keepdims=False, allow_negative_indices=False)


def _put(i: Array, values: Array, new: Array) -> Array:
    return jax.lax.dynamic_update_index_in_dim(values, new, i, 0, allow_negative_indices=False)


def _one_more(drafts: Int[Array, "B G"]) -> Int[Array, "B W"]:
    """The last place has no draft; what stands there is not read."""
    return jnp.pad(drafts, ((0, 0), (0, 1)))
