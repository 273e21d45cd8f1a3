"""Turns logits into the distribution that a request samples from: temperature, top-k, top-p, min-p.

The same processing is applied to the drafter's and to the primary's logits, so acceptance compares
the two distributions that are really sampled. `runtime/reference/sampling.py` is the numpy twin.
"""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tandem_export.graphs.numerics.calls import cond
from tandem_export.graphs.numerics.indexing import take_along_axis
from tandem_export.graphs.state import Sampling
from tandem_export.model import jit

OFF = -jnp.inf


@jit  # drafts and primary: a graph holds it once
def processed_log_probs(logits: Float[Array, "B V"], sampling: Sampling) -> Float[Array, "B V"]:
    """Returns log-probabilities over the tokens that may be drawn, -inf for the others.

    Order: temperature; top-k (with ties of the k-th); top-p (a token stays while the probability
    before it is below p, and so do ties of the last one); min-p (relative to the largest). A greedy
    row (temperature 0) is processed at temperature 1; its result is not used.
    """
    temperature = sampling.temperature
    scaled = logits / jnp.where(temperature > 0, temperature, 1.0)[:, None]
    filtering = (sampling.top_k > 0) | (sampling.top_p < 1) | (sampling.min_p > 0)
    filters = (sampling.top_k[:, None], sampling.top_p[:, None], sampling.min_p[:, None])
    needed = jnp.any((temperature > 0) & filtering)
    filtered = cond(needed, _filtered, _unfiltered, scaled, *filters)
    return jax.nn.log_softmax(filtered, -1)


def _filtered(
    x: Float[Array, "B V"],
    top_k: Int[Array, "B 1"],
    top_p: Float[Array, "B 1"],
    min_p: Float[Array, "B 1"],
) -> Float[Array, "B V"]:
    """Returns the logits with the dropped tokens at -inf."""
    V = x.shape[-1]
    ordered = -jnp.sort(-x, -1)
    rank = jnp.clip(jnp.where(top_k > 0, top_k, V), 1, V) - 1
    kth = take_along_axis(ordered, rank, 1)
    x, ordered = jnp.where(x >= kth, x, OFF), jnp.where(ordered >= kth, ordered, OFF)
    p = jax.nn.softmax(ordered, -1)
    before = jnp.cumsum(p, axis=-1) - p
    # The largest token has probability 0 before it: it stays whatever top_p is.
    stays = (before < top_p) | (before <= 0) | (top_p >= 1)
    smallest = jnp.min(jnp.where(stays, ordered, jnp.inf), -1, keepdims=True)
    x = jnp.where(x >= smallest, x, OFF)
    return jnp.where(x >= jnp.max(x, -1, keepdims=True) + jnp.log(min_p), x, OFF)


def _unfiltered(x: Float[Array, "B V"], *_: Array) -> Float[Array, "B V"]:
    return x


def choose(log_probs: Float[Array, "B V"], noise: Float[Array, "B V"]) -> Int[Array, " B"]:
    """Returns argmax(log p + Gumbel noise), a sample of p; the lowest id on ties."""
    return jnp.argmax(log_probs + noise, -1).astype(jnp.int32)
