"""A drafter that knows only some of the primary's tokens."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from tandem_export.model.attention import MASKED


class VocabularyMap(nnx.Module):
    """For each token of the primary, the drafter's row for it.

    `rows` is `[V]` int32, V the primary's vocabulary. A token that the drafter can draft has its
    row r >= 0. Any other has ~r = -1 - r: the drafter reads it as row r where it comes as input,
    and never drafts it.

        primary a b c d, drafter a c, everything else read as a: rows = 0 ~0 1 ~0
    """

    def __init__(self, size: int, drafter_size: int) -> None:
        known = jnp.arange(size, dtype=jnp.int32)
        self.rows = nnx.Param(jnp.where(known < drafter_size, known, ~0))

    def row_of(self, tokens: Int[Array, "*T"]) -> Int[Array, "*T"]:
        """Returns the drafter's embedding rows of the primary's token ids."""
        rows = self.rows[...][tokens]
        return jnp.where(rows >= 0, rows, -1 - rows)

    def spread(self, logits: Float[Array, "M V_drafter"]) -> Float[Array, "M V"]:
        """Returns logits over the primary's vocabulary; tokens that the drafter lacks have none.

        Masked with a large finite number: an entropy over -inf would be NaN.
        """
        rows = self.rows[...]
        spread = logits.at[:, jnp.maximum(rows, 0)].get(mode="promise_in_bounds")
        return jnp.where(rows[None] >= 0, spread, MASKED)
