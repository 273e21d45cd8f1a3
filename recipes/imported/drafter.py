"""The drafter's shape, its start, and its way into a checkpoint."""

from __future__ import annotations

import dataclasses

import numpy as np

from tandem_export.config import (
    DecoderConfig,
    RopeConfig,
    RouterConfig,
    TandemConfig,
    default_layer_map,
)
from tandem_export.model import Params, initialise


def shape(primary: DecoderConfig, tokens: int, layers: int, width: int) -> DecoderConfig:
    """A plain decoder of `layers` layers over `tokens` tokens, heads of 64."""
    return DecoderConfig(
        vocab_size=tokens,
        num_layers=layers,
        width=width,
        num_heads=max(1, width // 64),
        num_kv_heads=1,
        head_size=64,
        ff_size=3 * width,
        rope=RopeConfig(theta=primary.rope.theta),
        qk_norm=True,
        embedding_scale=width**0.5,
    )


def pair(primary: DecoderConfig, tokens: int, layers: int, width: int) -> TandemConfig:
    """The pair as it is exported: the primary's vocabulary, a drafter that knows some of it."""
    return TandemConfig(
        primary=primary,
        drafter=shape(primary, tokens, layers, width),
        layer_map=default_layer_map(primary.num_layers, layers),
        router=RouterConfig(top_k=4, hidden_size=32, tau=0.5),
    )


def as_trained(config: TandemConfig) -> TandemConfig:
    """The pair as it is trained: over the drafter's own rows, so that no logit is spread."""
    primary = dataclasses.replace(config.primary, vocab_size=config.drafter.vocab_size)
    return dataclasses.replace(config, primary=primary)


def start(config: TandemConfig, table: np.ndarray, seed: int = 0) -> Params:
    """Random layers; embedding and projections are the principal directions of the primary's table.

    Args:
      config: the pair as it is trained.
      table: the primary's embedding rows of the drafter's tokens `[V_drafter, D_primary]`.
      seed: of the layers.
    """
    params = {name: np.asarray(v) for name, v in initialise(config, "drafter", seed).items()}
    rows = np.asarray(table, np.float32)
    _, directions = np.linalg.eigh(rows.T @ rows)
    turn = directions[:, ::-1][:, : config.drafter.width].astype(np.float32)
    small = rows @ turn
    # Scaled so that the tied head starts with logits of ordinary size.
    params["embedding.weight"] = small / (small.std() * config.drafter.width**0.5)
    for j in range(config.drafter.num_layers):
        params[f"projection.{j}.weight"] = turn
    return params


def with_rows(params: Params, kept: np.ndarray, vocabulary: int) -> Params:
    """The drafter's tensors as the checkpoint has them."""
    rows = np.full(vocabulary, ~0, np.int32)
    rows[kept] = np.arange(len(kept))
    arrays = {name: np.asarray(value) for name, value in params.items()}
    return arrays | ({} if len(kept) == vocabulary else {"vocabulary.rows": rows})
