"""One place of a block, where some row is sampled: is its draft accepted, and what comes if not."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tandem_export.graphs.indexing import take_along_axis
from tandem_export.graphs.random import ACCEPT, RESIDUAL, TOKEN, gumbel, uniform
from tandem_export.graphs.rules import GUMBEL, STANDALONE_FREE
from tandem_export.graphs.sampling import choose, processed_log_probs
from tandem_export.graphs.spec import Arrays


class Judgement(NamedTuple):
    """What comes at each place, were all drafts before it accepted: `[B]`, of a block `[B, W]`.

    Attributes:
      ok: whether it is its draft.
      token: int32, the draft if it is accepted, else the primary's.
      logprob: float32, of `token` under the primary at temperature 1 (nats).
    """

    ok: Bool[Array, "..."]
    token: Int[Array, "..."]
    logprob: Float[Array, "..."]


class Place(NamedTuple):
    """One place of a block.

    Attributes:
      logits: `[B, V]` float32, the primary's.
      log_q: `[B, V]` float32, what the drafts were drawn from.
      draft: `[B]` int32.
      is_draft: `[B]`, whether the row has a draft there.
      position: `[B]` int32, of the token that comes there.
      going: `[B]`, whether all drafts of the row before were accepted; other rows do not count.
    """

    logits: Float[Array, "B V"]
    log_q: Float[Array, "B V"]
    draft: Int[Array, " B"]
    is_draft: Bool[Array, " B"]
    position: Int[Array, " B"]
    going: Bool[Array, " B"]


def judge_place(place: Place, sampling: Arrays) -> Judgement:
    """Every row by its own rule; one at temperature 0 by the primary's argmax."""
    logits, draft = place.logits, place.draft
    hot = sampling["temperature"] > 0
    noisy = sampling["rule"] == GUMBEL
    by_noise, by_ratio = hot & noisy, hot & ~noisy
    log_p = processed_log_probs(logits, sampling)
    greedy = jnp.argmax(logits, -1).astype(jnp.int32)
    drawn = jax.lax.cond(
        jnp.any(by_noise & place.going),
        lambda: choose(log_p, _noise(place, sampling, TOKEN)),
        lambda: greedy,
    )
    own = jnp.where(by_noise, drawn, greedy)
    passes = jnp.where(by_ratio, _passes(log_p, place, sampling), own == draft)
    ok = place.is_draft & (passes | (sampling["rule"] >= STANDALONE_FREE))
    rest = jax.lax.cond(
        jnp.any(place.going & by_ratio & ~ok),
        lambda: _residual(log_p, place, sampling),
        lambda: jnp.zeros_like(own),
    )
    token = jnp.where(ok, draft, jnp.where(by_ratio, rest, own))
    return Judgement(ok, token, _pick(logits, token) - jax.nn.logsumexp(logits, axis=-1))


def _passes(log_p: Array, place: Place, sampling: Arrays) -> Bool[Array, " B"]:
    """Leviathan et al. 2023: accept with probability min(1, p / q)."""
    p, q = _pick(log_p, place.draft), _pick(place.log_q, place.draft)
    u = uniform(sampling["seed"], place.position, ACCEPT)[:, 0]
    return u * jnp.exp(q) < jnp.exp(p)


def _residual(log_p: Array, place: Place, sampling: Arrays) -> Int[Array, " B"]:
    """A sample of max(0, p - q); of p where there is no draft."""
    p = jnp.exp(log_p)
    q = jnp.where(place.is_draft[:, None], jnp.exp(place.log_q), 0.0)
    left = jnp.maximum(p - q, 0.0)
    # p == q up to rounding cannot be rejected in exact arithmetic; fall back to p.
    left = jnp.where(jnp.sum(left, -1, keepdims=True) > 0, left, p)
    return choose(jnp.log(left), _noise(place, sampling, RESIDUAL))


def _noise(place: Place, sampling: Arrays, stream: int) -> Float[Array, "B V"]:
    return gumbel(sampling["seed"], place.position, stream, place.logits.shape[-1])


@jax.jit  # a graph holds it once
def _pick(values: Float[Array, "B V"], tokens: Int[Array, " B"]) -> Float[Array, " B"]:
    return take_along_axis(values, tokens[:, None], 1)[:, 0]
