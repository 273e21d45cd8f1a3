"""The router: predicts, from the drafter's distribution alone, whether the primary will accept."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from tandem_export.config import TandemConfig
from tandem_export.model.layers import Linear, gelu_tanh
from tandem_export.model.quantized import Int8


def router_features(
    logits: Float[Array, "B V"],
    embedding: Float[Array, "V_drafter D"] | Int8,
    top_k: int,
    rows: Int[Array, " V"] | None = None,
) -> Float[Array, "B E"]:
    """Returns entropy (nats), top-k probabilities and embeddings of those tokens, E = 1 + k + k D.

    `logits` are the drafter's own at temperature 1, whatever the request samples with: the router
    was trained on them. `rows` are the drafter's `vocabulary.rows`, if it has them.
    """
    log_q = jax.nn.log_softmax(logits, -1)
    q = jnp.exp(log_q)
    entropy = -jnp.sum(q * log_q, -1, keepdims=True)
    top_q, top_id = jax.lax.top_k(q, top_k)
    # The most likely tokens are among those that the drafter knows: their rows are not negative.
    own_id = top_id if rows is None else rows[top_id]
    embedded = embedding[own_id.reshape(-1)].reshape(logits.shape[0], -1)
    return jnp.concatenate([entropy, top_q, embedded.astype(jnp.float32)], -1)


class Router(nnx.Module):
    """Two linear layers with a GELU between; the output is a = 1 - p(disagree) in (0, 1)."""

    def __init__(self, config: TandemConfig, *, rngs: nnx.Rngs) -> None:
        assert config.router is not None
        k = config.router.top_k
        size_in = 1 + k + k * config.drafter.width
        self.hidden = Linear(size_in, config.router.hidden_size, bias=True, rngs=rngs)
        self.out = Linear(config.router.hidden_size, 1, bias=True, rngs=rngs)
        self.top_k = k

    def logit(
        self,
        drafter_logits: Float[Array, "B V"],
        embedding: Float[Array, "V_drafter D"] | Int8,
        rows: Int[Array, " V"] | None = None,
    ) -> Float[Array, " B"]:
        """Returns the acceptance logit; the sigmoid of it is the prediction."""
        x = router_features(drafter_logits, embedding, self.top_k, rows)
        x = x.astype(self.hidden.weight[...].dtype)
        return self.out(gelu_tanh(self.hidden(x)))[:, 0].astype(jnp.float32)

    def __call__(
        self,
        drafter_logits: Float[Array, "B V"],
        embedding: Float[Array, "V_drafter D"] | Int8,
        rows: Int[Array, " V"] | None = None,
    ) -> Float[Array, " B"]:
        """Returns predicted probability that the primary accepts a token of this distribution."""
        return jax.nn.sigmoid(self.logit(drafter_logits, embedding, rows))
