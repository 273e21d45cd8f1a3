"""What the primary's logits say of a block's drafts.

The logits of a block are the largest array of a round: 160 rows of 256,000 float32 are more than
the on-chip memory of a TPU v5e. So they are computed where they are needed: where the primary's
argmax decides, beside what is asked of them; where tokens are sampled, all of them, and then the
distributions of one row after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tandem_export.graphs.indexing import take_along_axis
from tandem_export.graphs.random import ACCEPT, RESIDUAL, TOKEN, gumbel, uniform
from tandem_export.graphs.rules import GUMBEL, STANDALONE_FREE
from tandem_export.graphs.sampling import choose, processed_log_probs
from tandem_export.graphs.spec import Arrays

# Computes the primary's logits `[B, W, V]` of a block.
Logits = Callable[[], Array]


class Judgement(NamedTuple):
    """What becomes of each place of a block, were all drafts before it accepted.

    Attributes:
      ok: `[B, G]` whether draft i is accepted.
      draft_logprob: `[B, G]` float32, of draft i under the primary at temperature 1 (nats).
      after: `[B, W]` int32, the primary's token at place i if no draft is accepted there.
      after_logprob: `[B, W]` float32, of `after`.
    """

    ok: Bool[Array, "B G"]
    draft_logprob: Float[Array, "B G"]
    after: Int[Array, "B W"]
    after_logprob: Float[Array, "B W"]


class Block(NamedTuple):
    """The drafts of a block, by row.

    Attributes:
      drafts: `[B, G]` int32.
      drafted: `[B]` int32, how many of them count.
      log_q: `[B, G, V]` float32, what each was drawn from; nothing where every row is greedy.
      positions: `[B, W]` int32, the position of the token that each place's logits decide.
    """

    drafts: Int[Array, "B G"]
    drafted: Int[Array, " B"]
    log_q: Float[Array, "B G V"]
    positions: Int[Array, "B W"]


def judge(logits: Logits, block: Block, sampling: Arrays) -> Judgement:
    """Judges a block by the primary's logits, which are computed in the branch that is taken."""
    return jax.lax.cond(
        jnp.any(sampling["temperature"] > 0),
        lambda: _row_by_row(logits(), block, sampling),
        lambda: _by_argmax(logits(), block.drafts),
    )


def _row_by_row(logits: Float[Array, "B W V"], block: Block, sampling: Arrays) -> Judgement:
    """One row after the other: only one row's distributions are in memory."""

    def judge_row(row: tuple[Array, Block, Arrays]) -> Judgement:
        own, block, sampling = jax.tree.map(lambda x: x[None], row)
        judged = jax.lax.cond(
            sampling["temperature"][0] > 0,
            lambda: _sampled(own, block, sampling),
            lambda: _by_argmax(own, block.drafts),
        )
        return jax.tree.map(lambda x: x[0], judged)

    return jax.lax.map(judge_row, (logits, block, sampling))


def _by_argmax(logits: Float[Array, "B W V"], drafts: Int[Array, "B G"]) -> Judgement:
    """The primary's argmax decides.

    All that is asked of the logits are maxima and sums over the vocabulary: a TPU's compiler puts
    them into the product that makes the logits, and those never are in memory. A draft's logit is a
    maximum over the one place where it stands, because a gather would put them there.
    """
    V = logits.shape[-1]
    own = jnp.argmax(logits, -1).astype(jnp.int32)
    total = jax.nn.logsumexp(logits, axis=-1)
    wanted = jnp.pad(drafts, ((0, 0), (0, 1)))[:, :, None]
    is_draft = jnp.arange(V, dtype=jnp.int32)[None, None, :] == wanted
    of_draft = jnp.max(jnp.where(is_draft, logits, -jnp.inf), -1)
    ok, draft_logprob = own[:, :-1] == drafts, (of_draft - total)[:, :-1]
    return Judgement(ok, draft_logprob, own, jnp.max(logits, -1) - total)


def _sampled(logits: Float[Array, "1 W V"], block: Block, sampling: Arrays) -> Judgement:
    """The rule of the one row decides."""
    log_p = processed_log_probs(logits, sampling)
    ok, after = jax.lax.cond(
        sampling["rule"][0] == GUMBEL,
        lambda: _gumbel(log_p, block, sampling),
        lambda: _leviathan(log_p, block, sampling),
    )
    total = jax.nn.logsumexp(logits, axis=-1)
    draft_logprob = _pick_drafts(logits, block.drafts) - total[:, :-1]
    return Judgement(ok, draft_logprob, after, _pick(logits, after) - total)


def _gumbel(log_p: Array, block: Block, sampling: Arrays) -> tuple[Array, Array]:
    """The primary's own choice with the noise that its position gives every drafter, too."""
    own = choose(log_p, gumbel(sampling["seed"], block.positions, TOKEN, log_p.shape[-1]))
    return own[:, : block.drafts.shape[1]] == block.drafts, own


def _leviathan(log_p: Array, block: Block, sampling: Arrays) -> tuple[Array, Array]:
    """Accept with probability min(1, p / q); the residual is needed at the first rejection only."""
    drafts, drafted, log_q, positions = block
    G, W = drafts.shape[1], log_p.shape[1]
    p, q = _pick_drafts(log_p, drafts), _pick(log_q, drafts)
    u = uniform(sampling["seed"], positions[:, :G], ACCEPT)[:, :, 0]
    inside = jnp.arange(G, dtype=jnp.int32)[None, :] < drafted[:, None]
    ok = u * jnp.exp(q) < jnp.exp(p)
    forced = (sampling["rule"] >= STANDALONE_FREE)[:, None]
    passed = (ok | forced) & inside
    place = jnp.sum(jnp.cumsum(~passed, axis=1) == 0, axis=1, dtype=jnp.int32)[:, None]
    rejected = (place < drafted[:, None])[:, :, None]
    p_at = jnp.exp(take_along_axis(log_p, place[:, :, None], 1))
    padded_q = jnp.pad(log_q, ((0, 0), (0, 1), (0, 0)))
    q_at = jnp.where(rejected, jnp.exp(take_along_axis(padded_q, place[:, :, None], 1)), 0.0)
    left = jnp.maximum(p_at - q_at, 0.0)
    # p == q up to rounding cannot be rejected in exact arithmetic; fall back to p.
    left = jnp.where(jnp.sum(left, -1, keepdims=True) > 0, left, p_at)
    where = take_along_axis(positions, place, 1)
    noise = gumbel(sampling["seed"], where, RESIDUAL, log_p.shape[-1])
    return ok, jnp.broadcast_to(choose(jnp.log(left), noise), (drafts.shape[0], W))


def _pick_drafts(values: Float[Array, "B W V"], drafts: Int[Array, "B G"]) -> Float[Array, "B G"]:
    """The drafts are one less than the places; cutting `values` to fewer would copy them."""
    return _pick(values, jnp.pad(drafts, ((0, 0), (0, 1))))[:, :-1]


def _pick(values: Float[Array, "B T V"], tokens: Int[Array, "B T"]) -> Float[Array, "B T"]:
    return take_along_axis(values, tokens[:, :, None], 2)[:, :, 0]
