"""What a checkpoint's pair makes of some sequences, in float32: the other side of a reference."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tandem_export.checkpoint.record import Checkpoint
from tandem_export.config import DecoderConfig
from tandem_export.model import Attend, KeyValue, attend, bind, causal_mask


def run_pair(checkpoint: Checkpoint, tokens: np.ndarray, prefix: int) -> dict[str, np.ndarray]:
    """Returns the outputs of primary, drafter and router by the names of a reference.

    The primary processes every token. The drafter runs from token `prefix` on: it sees projected
    rows of the tokens before, and its own of the others.

    Args:
      checkpoint: the pair; its weights are widened to float32.
      tokens: `[B, T]` int32.
      prefix: P, 0 for an independent pair.

    Returns:
      `primary.logits` `[B, T, V]`, `primary.activation.{l}` `[B, T, D_primary]`, `drafter.logits`
      `[B, T - P, V]`, `drafter.projected.{j}` `[B, P, D]`, and `router.acceptance` `[B, T - P]`
      if there is a router.
    """
    with jax.default_matmul_precision("highest"):
        primary, activations = _run_primary(checkpoint, tokens)
        early = [_rows(x, tokens)[:, :prefix] for x in activations]
        drafter = _run_drafter(checkpoint, tokens, early)
    return {name: np.asarray(value) for name, value in (primary | drafter).items()}


def _part(checkpoint: Checkpoint, part: str) -> Any:
    params = {
        name: jnp.asarray(array, None if array.dtype == np.int32 else jnp.float32)
        for name, array in checkpoint.params[part].items()
    }
    return bind(checkpoint.config, part, params)


def _rows(x: jax.Array, tokens: np.ndarray | jax.Array) -> jax.Array:
    """Returns `[M, D]` as `[B, T, D]`."""
    return x.reshape(*tokens.shape, -1)


def _run_primary(
    checkpoint: Checkpoint, tokens: np.ndarray
) -> tuple[dict[str, jax.Array], list[jax.Array]]:
    primary, positions = _part(checkpoint, "primary"), _positions(tokens, 0)
    attending = _attending(checkpoint.config.primary, positions, None, positions)
    activations = primary.run(jnp.asarray(tokens), positions, attending).activations
    outputs = {f"primary.activation.{i}": _rows(x, tokens) for i, x in enumerate(activations)}
    return outputs | {"primary.logits": _rows(primary.logits(activations[-1]), tokens)}, activations


def _run_drafter(
    checkpoint: Checkpoint, tokens: np.ndarray, early: list[jax.Array]
) -> dict[str, jax.Array]:
    """Returns the drafter after `early`, the primary's activations `[B, P, D_primary]`."""
    config, drafter = checkpoint.config, _part(checkpoint, "drafter")
    P, outputs, before = early[0].shape[1], {}, None
    first, late = _positions(tokens[:, :P], 0), _positions(tokens[:, P:], P)
    if config.is_tandem:
        flat = [x.reshape(-1, x.shape[-1]) for x in early]
        before = drafter.prefix_key_value(flat, first)
        for j, (projection, source) in enumerate(
            zip(drafter.projection, config.layer_map, strict=True)
        ):
            outputs[f"drafter.projected.{j}"] = _rows(projection(flat[source]), tokens[:, :P])
    suffix = jnp.asarray(tokens[:, P:])
    last = drafter.run(suffix, late, _attending(config.drafter, late, before, first)).activations[
        -1
    ]
    logits = drafter.logits(last)
    outputs["drafter.logits"] = _rows(logits, suffix)
    if config.router is not None:
        rows = None if drafter.vocabulary is None else drafter.vocabulary.rows[...]
        accepted = _part(checkpoint, "router")(logits, drafter.embedding.weight[...], rows)
        outputs["router.acceptance"] = accepted.reshape(suffix.shape)
    return outputs


def _positions(tokens: np.ndarray, start: int) -> jax.Array:
    B, T = tokens.shape
    return jnp.broadcast_to(jnp.arange(start, start + T, dtype=jnp.int32), (B, T))


def _attending(
    config: DecoderConfig, positions: jax.Array, before: list[KeyValue] | None, early: jax.Array
) -> Attend:
    """Returns attention over a block's rows, and over rows `before` at the positions `early`."""

    def attending(layer: int, q: jax.Array, kv: KeyValue) -> tuple[jax.Array, None]:
        window = config.window(layer)
        parts = [(*kv, causal_mask(positions, positions, window))]
        if before is not None:
            parts = [(*before[layer], causal_mask(positions, early, window)), *parts]
        return attend(q, parts, scale=config.scale, softcap=config.attention_softcap), None

    return attending
