"""The drafter's shape, its start, and its way into a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from recipes.imported.copied import copied_layers
from tandem_export.config import (
    DecoderConfig,
    RopeConfig,
    RouterConfig,
    TandemConfig,
    default_layer_map,
)
from tandem_export.model import Params, initialise

Start = Literal["copied", "random"]


def shape(primary: DecoderConfig, tokens: int, layers: int, width: int, ff: int) -> DecoderConfig:
    """A plain decoder of `layers` layers over `tokens` tokens, heads of 64."""
    return DecoderConfig(
        vocab_size=tokens,
        num_layers=layers,
        width=width,
        num_heads=max(1, width // 64),
        num_kv_heads=1,
        head_size=64,
        ff_size=ff,
        rope=RopeConfig(theta=primary.rope.theta),
        qk_norm=True,
        embedding_scale=width**0.5,
    )


def shape_of_copies(
    primary: DecoderConfig, tokens: int, layers: int, width: int, ff: int
) -> DecoderConfig:
    """The primary's own kind of layer with all of its heads, over a narrower residual stream."""
    taken = copied_from(primary, layers)
    return dataclasses.replace(
        primary,
        vocab_size=tokens,
        num_layers=layers,
        width=width,
        ff_size=ff,
        tied_embedding=True,
        norm_plus_one=False,
        window_pattern=tuple(primary.is_local(layer) for layer in taken),
        sliding_window=primary.sliding_window if any(map(primary.is_local, taken)) else None,
    )


def copied_from(primary: DecoderConfig, layers: int) -> tuple[int, ...]:
    """The primary's layers that a drafter begins as: evenly spaced, the first and the last too."""
    return tuple(np.linspace(0, primary.num_layers - 1, layers).astype(int).tolist())


def pair(
    primary: DecoderConfig, tokens: int, layers: int, width: int, ff: int, start: Start
) -> TandemConfig:
    """The pair as it is exported: the primary's vocabulary, a drafter that knows some of it."""
    copied = start == "copied"
    make = shape_of_copies if copied else shape
    return TandemConfig(
        primary=primary,
        drafter=make(primary, tokens, layers, width, ff),
        # A copied layer reads what the original reads.
        layer_map=copied_from(primary, layers)
        if copied
        else default_layer_map(primary.num_layers, layers),
        router=RouterConfig(top_k=4, hidden_size=32, tau=0.5),
    )


def independent(config: TandemConfig) -> TandemConfig:
    """The baseline of a tandem pair: the same drafter without a view of the primary."""
    return dataclasses.replace(config, kind="independent", layer_map=(), router=None)


def as_trained(config: TandemConfig) -> TandemConfig:
    """The pair as it is trained: over the drafter's own rows, so that no logit is spread."""
    primary = dataclasses.replace(config.primary, vocab_size=config.drafter.vocab_size)
    return dataclasses.replace(config, primary=primary)


def begin(
    config: TandemConfig,
    primary: Params,
    kept: np.ndarray,
    activations: Sequence[np.ndarray],
    start: Start,
    seed: int = 0,
) -> Params:
    """The drafter's tensors before any training.

    Its residual stream is the primary's in the directions that hold most of it: so begin embedding
    and projections. Layers are random, or the primary's own in these directions.

    Args:
      config: the pair as it is trained.
      primary: its tensors.
      kept: the drafter's tokens.
      activations: samples of what the projections read, `[N, D]` each.
      start: what the layers begin as.
      seed: of random layers.
    """
    params = {name: np.asarray(v) for name, v in initialise(config, "drafter", seed).items()}
    rows = np.asarray(primary["embedding.weight"], np.float32)[kept]
    turn = directions([rows, *activations], config.drafter.width)
    small = rows @ turn
    if start == "copied":
        params |= copied_layers(config, primary, turn)
        params["embedding.weight"] = small
    else:
        # Scaled so that the tied head starts with logits of ordinary size.
        params["embedding.weight"] = small / (small.std() * config.drafter.width**0.5)
    projections = {f"projection.{j}.weight": turn for j in range(len(config.layer_map))}
    return params | projections


def directions(samples: Sequence[np.ndarray], width: int) -> np.ndarray:
    """The `width` orthonormal directions `[D, width]` that hold most of all samples.

    Each row counts by its direction alone, as it does behind a norm, and each sample the same.
    """
    total = sum(_second_moment(sample) for sample in samples)
    _, vectors = np.linalg.eigh(total)
    return np.ascontiguousarray(vectors[:, ::-1][:, :width], np.float32)


def _second_moment(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return unit.T @ unit / len(unit)


def with_rows(params: Params, rows: np.ndarray) -> Params:
    """The drafter's tensors as the checkpoint has them."""
    arrays = {name: np.asarray(value) for name, value in params.items()}
    return arrays | ({"vocabulary.rows": rows} if (rows < 0).any() else {})
