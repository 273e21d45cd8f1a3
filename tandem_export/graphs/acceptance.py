"""Which drafts are accepted, and the token that follows them."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tandem_export.graphs.place import Judgement
from tandem_export.graphs.rules import STANDALONE, STANDALONE_FREE


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
    judged: Judgement,
    drafts: Int[Array, "B G"],
    drafted: Int[Array, " B"],
    rule: Int[Array, " B"],
    *,
    idle: Array,
) -> Accepted:
    """Accepts the first `drafted` of `drafts` up to the first that is not ok.

    Idle rows commit nothing.

        drafts   7 3 9 .    drafted 3     primary's choices  7 3 5 8
        accepted 2 (7 3), then the primary's 5: tokens 7 3 5 -1 -1, count 3
    """
    place = jnp.arange(judged.ok.shape[1], dtype=jnp.int32)[None, :]
    ok = (judged.ok | (rule >= STANDALONE_FREE)[:, None]) & (place < drafted[:, None])
    accepted = jnp.sum(jnp.cumsum(~ok, axis=1) == 0, axis=1, dtype=jnp.int32)
    # Even without the primary's token, a row that drafted nothing must commit something.
    drafts_only = (rule == STANDALONE) & (drafted > 0)
    count = jnp.where(idle, 0, accepted + jnp.where(drafts_only, 0, 1))
    return _collect(judged, drafts, accepted, count)


def _collect(judged: Judgement, drafts: Array, accepted: Array, count: Array) -> Accepted:
    """Drafts up to `accepted`, then the primary's token of that place, then -1."""
    place = jnp.arange(judged.after.shape[1], dtype=jnp.int32)[None, :]
    is_draft, inside = place < accepted[:, None], place < count[:, None]
    tokens = jnp.where(is_draft, jnp.pad(drafts, ((0, 0), (0, 1))), judged.after)
    logprob = jnp.where(is_draft, judged.draft_logprob, judged.after_logprob)
    return Accepted(jnp.where(inside, tokens, -1), count, jnp.where(inside, logprob, 0.0))
