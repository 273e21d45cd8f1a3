"""From logits to the distribution a request samples from: temperature, top-k, top-p, min-p.

The same processing is applied to the drafter's and to the primary's logits, so acceptance compares
the two distributions that are really sampled. `runtime/sampling.py` is the plain reference.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tandem_export.graphs.indexing import take_along_axis
from tandem_export.graphs.spec import Arrays

OFF = -jnp.inf


@jax.jit  # drafts and primary: a graph holds it once
def processed_log_probs(logits: Float[Array, "B V"], sampling: Arrays) -> Float[Array, "B V"]:
    """Log-probabilities over the kept tokens, -inf on the others.

    Order: temperature; top-k (keeps ties of the k-th); top-p (keeps a token while the probability
    before it is below p, ties of the last one too); min-p (relative to the largest). A greedy row
    (temperature 0) is processed at temperature 1; its result is not used.
    """
    temperature = sampling["temperature"]
    scaled = logits / jnp.where(temperature > 0, temperature, 1.0)[:, None]
    filtering = (sampling["top_k"] > 0) | (sampling["top_p"] < 1) | (sampling["min_p"] > 0)
    kept = jax.lax.cond(
        jnp.any((temperature > 0) & filtering),
        lambda x: _filtered(x, *(sampling[name][:, None] for name in _FILTERS)),
        lambda x: x,
        scaled,
    )
    return jax.nn.log_softmax(kept, -1)


_FILTERS = ("top_k", "top_p", "min_p")


def _filtered(
    x: Float[Array, "B V"],
    top_k: Int[Array, "B 1"],
    top_p: Float[Array, "B 1"],
    min_p: Float[Array, "B 1"],
) -> Float[Array, "B V"]:
    """Logits with the dropped tokens at -inf."""
    V = x.shape[-1]
    ordered = -jnp.sort(-x, -1)
    rank = jnp.clip(jnp.where(top_k > 0, top_k, V), 1, V) - 1
    kth = take_along_axis(ordered, rank, 1)
    x, ordered = jnp.where(x >= kth, x, OFF), jnp.where(ordered >= kth, ordered, OFF)
    p = jax.nn.softmax(ordered, -1)
    before = jnp.cumsum(p, axis=-1) - p
    # The largest token has probability 0 before it: it stays whatever top_p is.
    kept = (before < top_p) | (before <= 0) | (top_p >= 1)
    smallest = jnp.min(jnp.where(kept, ordered, jnp.inf), -1, keepdims=True)
    x = jnp.where(x >= smallest, x, OFF)
    return jnp.where(x >= jnp.max(x, -1, keepdims=True) + jnp.log(min_p), x, OFF)


def choose(log_p: Float[Array, "B V"], noise: Float[Array, "B V"]) -> Int[Array, " B"]:
    """argmax(log p + Gumbel noise): a sample of p, the lowest id on ties."""
    return jnp.argmax(log_p + noise, -1).astype(jnp.int32)
