"""What the primary's logits say of a block's drafts.

The logits of a block are the largest array of a round: 160 rows of 256,000 float32 are more than
the on-chip memory of a TPU v5e. So they are computed where they are needed. Where the primary's
argmax decides, that is beside what is asked of them; where tokens are sampled, it is all of them,
but the distributions of one place of the block after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

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

    The head is in both branches, so that neither waits for logits that the other wants otherwise.
    """
    return jax.lax.cond(
        jnp.any(sampling["temperature"] > 0),
        lambda: _place_by_place(logits(), block, sampling),
        lambda: _by_argmax(logits(), block.drafts),
    )


def _by_argmax(logits: Float[Array, "B W V"], drafts: Int[Array, "B G"]) -> Judgement:
    """The primary's argmax decides.

    All that is asked of the logits are maxima and sums over the vocabulary: a TPU's compiler puts
    them into the product that makes the logits, and those never are in memory. A draft's logit is a
    maximum over the one entry where it stands, because a gather would put them there.
    """
    own = jnp.argmax(logits, -1).astype(jnp.int32)
    total = jax.nn.logsumexp(logits, axis=-1)
    draft = _one_more(drafts)
    entry = jnp.arange(logits.shape[-1], dtype=jnp.int32)[None, None, :]
    of_draft = jnp.max(jnp.where(entry == draft[:, :, None], logits, -jnp.inf), -1)
    return Judgement(own == draft, of_draft - total, own, jnp.max(logits, -1) - total)


def _place_by_place(logits: Float[Array, "B W V"], block: Block, sampling: Arrays) -> Judgement:
    """Only one place's distributions are in memory, and none after every row's draft has ended."""
    B, W, _ = logits.shape
    by_place, drafts = jnp.moveaxis(logits, 1, 0), _one_more(block.drafts)
    forced = sampling["rule"] >= STANDALONE_FREE

    def column(values: Array, i: Array) -> Array:
        return jax.lax.dynamic_index_in_dim(values, i, 1, keepdims=False)

    def step(going: Array, i: Array) -> tuple[Array, Judgement]:
        is_draft = i < block.drafted

        def look() -> Judgement:
            drawn_at = jnp.minimum(i, block.log_q.shape[0] - 1)  # nothing was drawn at the last
            place = Place(
                logits=jax.lax.dynamic_index_in_dim(by_place, i, 0, keepdims=False),
                log_q=jax.lax.dynamic_index_in_dim(block.log_q, drawn_at, 0, keepdims=False),
                draft=column(drafts, i),
                is_draft=is_draft,
                position=column(block.positions, i),
                going=going,
            )
            return judge_place(place, sampling)

        found = jax.lax.cond(jnp.any(going), look, lambda: _nothing(B))
        return going & is_draft & (found.ok | forced), found

    _, found = jax.lax.scan(step, jnp.ones((B,), bool), jnp.arange(W, dtype=jnp.int32))
    return jax.tree.map(jnp.transpose, found)


def _nothing(B: int) -> Judgement:
    tokens, zeros = jnp.zeros((B,), jnp.int32), jnp.zeros((B,), jnp.float32)
    return Judgement(jnp.zeros((B,), bool), zeros, tokens, zeros)


def _one_more(drafts: Int[Array, "B G"]) -> Int[Array, "B W"]:
    """The last place has no draft; what stands there is not read."""
    return jnp.pad(drafts, ((0, 0), (0, 1)))
