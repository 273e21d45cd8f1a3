"""The demo's model shapes.

The drafter's shape was chosen by predicted speed, not by size: see `pilot.py` and the table in the
model card.
"""

from __future__ import annotations

import dataclasses

from recipes.stdlib_mini.corpus import VOCAB_SIZE
from tandem_export.config import DecoderConfig, RouterConfig, TandemConfig

PRIMARY = DecoderConfig(
    vocab_size=VOCAB_SIZE,
    num_layers=6,
    width=256,
    num_heads=8,
    num_kv_heads=2,
    head_size=32,
    ff_size=704,
    embedding_scale=16.0,
)
ROUTER = RouterConfig(top_k=4, hidden_size=32, tau=0.5)


def drafter(num_layers: int, width: int) -> DecoderConfig:
    """A drafter with the primary's head size; heads and feed-forward follow the width."""
    return dataclasses.replace(
        PRIMARY,
        num_layers=num_layers,
        width=width,
        num_heads=width // 32,
        num_kv_heads=max(1, width // 128),
        ff_size=width * 11 // 4,
        embedding_scale=float(width) ** 0.5,
    )


def pair(draft: DecoderConfig, layer_map: tuple[int, ...]) -> TandemConfig:
    """A tandem pair of the demo's primary."""
    return TandemConfig(
        primary=PRIMARY, drafter=draft, kind="tandem", layer_map=layer_map, router=ROUTER
    )


def independent(config: TandemConfig) -> TandemConfig:
    """The baseline of a tandem pair: the same drafter without a view of the primary."""
    return dataclasses.replace(config, kind="independent", layer_map=(), router=None)


PAIR = pair(drafter(num_layers=1, width=128), layer_map=(4,))
