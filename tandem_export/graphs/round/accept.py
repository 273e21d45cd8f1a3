"""Commits the drafts that were accepted, and the token that follows them."""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tandem_export.contract import AcceptanceRule
from tandem_export.graphs.round.verify_sampled import Verification


class Commit(NamedTuple):
    """The tokens that a round commits.

    Attributes:
      tokens: `[B, W]` int32, -1 past `committed`.
      committed: `[B]` int32, accepted drafts plus the primary's token.
      logprob: `[B, W]` float32, the primary's log-probability at temperature 1 (nats).
    """

    tokens: Int[Array, "B W"]
    committed: Int[Array, " B"]
    logprob: Float[Array, "B W"]


def accept(verified: Verification, rule: Int[Array, " B"], *, idle: Bool[Array, " B"]) -> Commit:
    """Takes the drafts up to the first that is not accepted, then the primary's token.

    Idle rows commit nothing.

        drafts   7 3 9 .     the primary's tokens  7 3 5 8
        accepted 1 1 0 0     token                 7 3 5 8
        tokens   7 3 5 -1    committed             3
    """
    accepted = jnp.sum(jnp.cumsum(~verified.accepted, axis=1) == 0, axis=1, dtype=jnp.int32)
    # Even without the primary's token, a row that drafted nothing must commit something.
    drafts_only = (rule == AcceptanceRule.STANDALONE) & (accepted > 0)
    count = jnp.where(idle, 0, accepted + jnp.where(drafts_only, 0, 1))
    offset = jnp.arange(verified.accepted.shape[1], dtype=jnp.int32)[None, :]
    inside = offset < count[:, None]
    return Commit(
        tokens=jnp.where(inside, verified.token, -1),
        committed=count,
        logprob=jnp.where(inside, verified.logprob, 0.0),
    )
