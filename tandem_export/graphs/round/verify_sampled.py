"""Verifies one offset of a block in which some row is sampled."""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tandem_export.contract import AcceptanceRule, Stream
from tandem_export.graphs.numerics import (
    choose,
    cond,
    gumbel,
    processed_log_probs,
    take_along_axis,
    uniform,
)
from tandem_export.graphs.state import Sampling
from tandem_export.model import jit


class Verification(NamedTuple):
    """What comes at each offset if all drafts before it are accepted: `[B]`, of a block `[B, W]`.

    Attributes:
      accepted: whether the token is the row's draft.
      token: int32, the draft if it is accepted, else the primary's.
      logprob: float32, of `token` under the primary at temperature 1 (nats).
    """

    accepted: Bool[Array, "..."]
    token: Int[Array, "..."]
    logprob: Float[Array, "..."]


class BlockOffset(NamedTuple):
    """One offset of a block.

    Attributes:
      logits: `[B, V]` float32, the primary's.
      log_probs_drafter: `[B, V]` float32, the distribution that the drafts were drawn from.
      draft: `[B]` int32.
      is_draft: `[B]`, whether the row has a draft there.
      position: `[B]` int32, index of the token that comes there.
      still_accepted: `[B]`, whether all earlier drafts of the row were accepted; results of other
        rows are not used.
    """

    logits: Float[Array, "B V"]
    log_probs_drafter: Float[Array, "B V"]
    draft: Int[Array, " B"]
    is_draft: Bool[Array, " B"]
    position: Int[Array, " B"]
    still_accepted: Bool[Array, " B"]


def verify_offset(offset: BlockOffset, sampling: Sampling) -> Verification:
    """Verifies every row by its own rule; a row at temperature 0 by the primary's argmax."""
    logits, draft, rule = offset.logits, offset.draft, sampling.rule
    sampled, is_gumbel = sampling.temperature > 0, rule == AcceptanceRule.GUMBEL
    by_noise, by_ratio = sampled & is_gumbel, sampled & ~is_gumbel
    log_probs_primary = processed_log_probs(logits, sampling)
    greedy = jnp.argmax(logits, -1).astype(jnp.int32)
    drawn = cond(
        jnp.any(by_noise & offset.still_accepted),
        lambda: choose(log_probs_primary, _noise(offset, sampling, Stream.TOKEN)),
        lambda: greedy,
    )
    primary_token = jnp.where(by_noise, drawn, greedy)
    agrees = jnp.where(
        by_ratio, _passes_ratio(log_probs_primary, offset, sampling), primary_token == draft
    )
    accepted = offset.is_draft & (agrees | accepts_all(rule))
    residual_token = cond(
        jnp.any(offset.still_accepted & by_ratio & ~accepted),
        lambda: _residual(log_probs_primary, offset, sampling),
        lambda: jnp.zeros_like(primary_token),
    )
    replacement = jnp.where(by_ratio, residual_token, primary_token)
    token = jnp.where(accepted, draft, replacement)
    logprob = _pick(logits, token) - jax.nn.logsumexp(logits, axis=-1)
    return Verification(accepted, token, logprob)


def accepts_all(rule: Int[Array, " B"]) -> Bool[Array, " B"]:
    """Returns where the rule is one of the standalone rules, which come last."""
    return rule >= AcceptanceRule.STANDALONE_FREE


def _passes_ratio(
    log_probs_primary: Array, offset: BlockOffset, sampling: Sampling
) -> Bool[Array, " B"]:
    """Accepts with probability min(1, p / q) (Leviathan et al. 2023)."""
    p, q = _pick(log_probs_primary, offset.draft), _pick(offset.log_probs_drafter, offset.draft)
    u = uniform(sampling.seed, offset.position, Stream.ACCEPT)[:, 0]
    return u * jnp.exp(q) < jnp.exp(p)


def _residual(
    log_probs_primary: Array, offset: BlockOffset, sampling: Sampling
) -> Int[Array, " B"]:
    """Samples max(0, p - q); p itself where there is no draft."""
    p = jnp.exp(log_probs_primary)
    q = jnp.where(offset.is_draft[:, None], jnp.exp(offset.log_probs_drafter), 0.0)
    residual = jnp.maximum(p - q, 0.0)
    # p == q up to rounding cannot be rejected in exact arithmetic; fall back to p.
    residual = jnp.where(jnp.sum(residual, -1, keepdims=True) > 0, residual, p)
    return choose(jnp.log(residual), _noise(offset, sampling, Stream.RESIDUAL))


def _noise(offset: BlockOffset, sampling: Sampling, stream: Stream) -> Float[Array, "B V"]:
    return gumbel(sampling.seed, offset.position, stream, offset.logits.shape[-1])


@jit  # a graph holds it once
def _pick(values: Float[Array, "B V"], tokens: Int[Array, " B"]) -> Float[Array, " B"]:
    return take_along_axis(values, tokens[:, None], 1)[:, 0]
