"""Which drafts are accepted, and the token that follows them."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tandem_export.graphs.place import Judgement
from tandem_export.graphs.rules import STANDALONE


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


def accept(judged: Judgement, rule: Int[Array, " B"], *, idle: Bool[Array, " B"]) -> Accepted:
    """Takes the drafts up to the first that is not accepted, then the primary's token.

    Idle rows commit nothing.

        drafts 7 3 9 .  the primary's 7 3 5 8:  ok 1 1 0 0  token 7 3 5 8
        tokens 7 3 5 -1  committed 3
    """
    accepted = jnp.sum(jnp.cumsum(~judged.ok, axis=1) == 0, axis=1, dtype=jnp.int32)
    # Even without the primary's token, a row that drafted nothing must commit something.
    drafts_only = (rule == STANDALONE) & (accepted > 0)
    count = jnp.where(idle, 0, accepted + jnp.where(drafts_only, 0, 1))
    place = jnp.arange(judged.ok.shape[1], dtype=jnp.int32)[None, :]
    inside = place < count[:, None]
    tokens, logprob = jnp.where(inside, judged.token, -1), jnp.where(inside, judged.logprob, 0.0)
    return Accepted(tokens, count, logprob)
