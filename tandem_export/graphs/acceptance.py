"""Which drafts are accepted, and the token that follows them.

Rules (docs/architecture.md): 0 `leviathan` (Leviathan et al. 2023: accept x with probability
min(1, p(x) / q(x)), on rejection sample from max(0, p - q)); 1 `gumbel` (drafter-invariant: the
primary's own choice with the shared noise of the position decides); 2 and 3 accept every draft
(standalone, with and without the primary's token after them). A row at temperature 0 accepts while
the draft is the primary's argmax. `runtime/acceptance.py` is the plain reference.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tandem_export.graphs.indexing import take_along_axis
from tandem_export.graphs.random import ACCEPT, RESIDUAL, TOKEN, gumbel, uniform
from tandem_export.graphs.sampling import choose, processed_log_probs
from tandem_export.graphs.spec import Arrays

LEVIATHAN, GUMBEL, STANDALONE_FREE, STANDALONE = range(4)


class Accepted(NamedTuple):
    """The tokens that a round commits.

    Attributes:
      tokens: `[B, W]` int32, -1 past `committed`.
      committed: `[B]` int32, accepted drafts plus the primary's token.
      logprob: `[B, W]` float32, the primary's log-probability at temperature 1 (nats).
    """

    tokens: Int[Array, "B W"]
    committed: Int[Array, " B"]
    logprob: Float[Array, "B W"]


def accept(
    logits: Float[Array, "B W V"],
    drafts: Int[Array, "B G"],
    drafted: Int[Array, " B"],
    log_q: Float[Array, "B G V"],
    position: Int[Array, " B"],
    sampling: Arrays,
    *,
    idle: Array,
) -> Accepted:
    """Verifies the first `drafted` of `drafts` against the primary's `logits`.

    `position` is that of the block's first input token: draft i has index position + 1 + i. Idle
    rows commit nothing.

        drafts   7 3 9 .    drafted 3     primary's choices  7 3 5 8
        accepted 2 (7 3), then the primary's 5: tokens 7 3 5 -1 -1, count 3
    """
    G = drafts.shape[1]
    greedy = jnp.argmax(logits, -1).astype(jnp.int32)
    ok, after = jax.lax.cond(
        jnp.any(sampling["temperature"] > 0),
        lambda: _sampled(logits, greedy, drafts, drafted, log_q, position, sampling),
        lambda: (greedy[:, :G] == drafts, greedy),
    )
    order = jnp.arange(G, dtype=jnp.int32)[None, :]
    forced = (sampling["rule"] >= STANDALONE_FREE)[:, None]
    ok = (ok | forced) & (order < drafted[:, None])
    accepted = jnp.sum(jnp.cumsum(~ok, axis=1) == 0, axis=1, dtype=jnp.int32)
    # Even without the primary's token, a row that drafted nothing must commit something.
    drafts_only = (sampling["rule"] == STANDALONE) & (drafted > 0)
    count = accepted + jnp.where(drafts_only, 0, 1)
    return _collect(logits, drafts, after, accepted, jnp.where(idle, 0, count))


def _collect(logits: Array, drafts: Array, after: Array, accepted: Array, count: Array) -> Accepted:
    """Drafts up to `accepted`, then the primary's token of that place, then -1."""
    place = jnp.arange(after.shape[1], dtype=jnp.int32)[None, :]
    padded = jnp.pad(drafts, ((0, 0), (0, 1)))
    tokens = jnp.where(place < accepted[:, None], padded, after)
    raw = take_along_axis(logits, jnp.maximum(tokens, 0)[:, :, None], 2)[:, :, 0]
    logprob = raw - jax.nn.logsumexp(logits, axis=-1)
    inside = place < count[:, None]
    return Accepted(jnp.where(inside, tokens, -1), count, jnp.where(inside, logprob, 0.0))


def _sampled(logits, greedy, drafts, drafted, log_q, position, sampling):
    """(draft accepted on its own `[B, G]`, the primary's token if it comes at place i `[B, W]`)."""
    W = logits.shape[1]
    index = position[:, None] + 1 + jnp.arange(W, dtype=jnp.int32)[None, :]
    log_p = processed_log_probs(logits, sampling)
    ok_leviathan, after_leviathan = _leviathan(log_p, drafts, drafted, log_q, index, sampling)
    own = jax.lax.cond(
        jnp.any(sampling["rule"] == GUMBEL),
        lambda: choose(log_p, gumbel(sampling["seed"], index, TOKEN, log_p.shape[-1])),
        lambda: greedy,
    )
    own = jnp.where((sampling["temperature"] > 0)[:, None], own, greedy)
    mine = ((sampling["rule"] == GUMBEL) | (sampling["temperature"] <= 0))[:, None]
    ok = jnp.where(mine, own[:, :-1] == drafts, ok_leviathan)
    return ok, jnp.where(mine, own, after_leviathan)


def _leviathan(log_p, drafts, drafted, log_q, index, sampling):
    """Accept with probability min(1, p / q); the residual is needed at the first rejection only."""
    G, W = drafts.shape[1], log_p.shape[1]
    p = take_along_axis(log_p[:, :G], drafts[:, :, None], 2)[:, :, 0]
    q = take_along_axis(log_q, drafts[:, :, None], 2)[:, :, 0]
    u = uniform(sampling["seed"], index[:, :G], ACCEPT)[:, :, 0]
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
    where = take_along_axis(index, place, 1)
    noise = gumbel(sampling["seed"], where, RESIDUAL, log_p.shape[-1])
    return ok, jnp.broadcast_to(choose(jnp.log(left), noise), (drafts.shape[0], W))
