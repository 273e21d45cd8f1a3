"""Full-sequence forward passes and the losses of the paper's section 3.2.

The model is the one that gets exported; only `attend` differs: here it sees a whole sequence.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tandem_export.config import TandemConfig
from tandem_export.model import Params, Pass, attend, bind, causal_mask


def _positions(tokens: Int[Array, "B T"]) -> Int[Array, "B T"]:
    return jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)


def primary_pass(
    config: TandemConfig, params: Params, tokens: Int[Array, "B T"]
) -> tuple[Float[Array, "M V"], Pass]:
    """The primary over whole sequences: logits and every activation."""
    model, positions = bind(config, "primary", params), _positions(tokens)
    decoder = config.primary
    masks = {
        window: causal_mask(positions, positions, window)
        for window in {decoder.window(j) for j in range(decoder.num_layers)}
    }

    def see(layer, q, kv):
        part = (*kv, masks[decoder.window(layer)])
        return attend(q, [part], scale=decoder.scale, softcap=decoder.attention_softcap), None

    run = model.run(tokens, positions, see)
    return model.logits(run.activations[-1]), run


def drafter_logits(
    config: TandemConfig,
    params: Params,
    tokens: Int[Array, "B T"],
    primary_activations: list[Float[Array, "M D"]],
    gamma: Int[Array, ""] | int,
) -> Float[Array, "M V"]:
    """The drafter over whole sequences with block length `gamma` (decision 2).

    Token i sees its own rows back to the start of its block, floor(i / gamma) * gamma, and the
    projected primary rows before it; an independent drafter sees its own rows only.
    """
    model, positions = bind(config, "drafter", params), _positions(tokens)
    decoder = config.drafter
    same_block = (positions // gamma)[:, :, None] == (positions // gamma)[:, None, :]
    prefix = model.prefix_key_value(primary_activations, positions) if config.is_tandem else None

    def see(layer, q, kv):
        causal = causal_mask(positions, positions, decoder.window(layer))
        parts = [(*kv, causal)]
        if prefix is not None:
            parts = [(*prefix[layer], causal & ~same_block), (*kv, causal & same_block)]
        return attend(q, parts, scale=decoder.scale, softcap=decoder.attention_softcap), None

    return model.logits(model.run(tokens, positions, see).activations[-1])


def cross_entropy(logits: Float[Array, "M V"], labels: Int[Array, " M"]) -> Float[Array, ""]:
    """Mean nats per token against the text."""
    log_q = jax.nn.log_softmax(logits, -1)
    return -jnp.take_along_axis(log_q, labels[:, None], 1).mean()


def distillation(
    logits: Float[Array, "M V"], primary_logits: Float[Array, "M V"], labels: Int[Array, " M"]
) -> Float[Array, ""]:
    """0.5 x cross entropy against the text + 0.5 x cross entropy against the primary."""
    p = jax.nn.softmax(primary_logits, -1)
    soft = -(p * jax.nn.log_softmax(logits, -1)).sum(-1).mean()
    return 0.5 * cross_entropy(logits, labels) + 0.5 * soft


def total_variation(
    logits: Float[Array, "M V"], primary_logits: Float[Array, "M V"]
) -> Float[Array, " M"]:
    """TV(q, p) = 1 - sum_v min(q_v, p_v), per token."""
    q, p = jax.nn.softmax(logits, -1), jax.nn.softmax(primary_logits, -1)
    return 0.5 * jnp.abs(q - p).sum(-1)
