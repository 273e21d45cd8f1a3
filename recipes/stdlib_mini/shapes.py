"""The demo's model shapes.

The primary is deep and narrow: a drafter of one layer then costs little beside it, and a block of
several tokens little more than one (on XLA CPU, against 6 layers of width 256). The drafter's
shape was chosen by predicted speed, not by size: see `pilot.py` and the table in the model card.
"""

from __future__ import annotations

import dataclasses

from recipes.stdlib_mini.corpus import VOCAB_SIZE
from tandem_export.config import DecoderConfig, RouterConfig, TandemConfig

PRIMARY = DecoderConfig(
    vocab_size=VOCAB_SIZE,
    num_layers=12,
    width=192,
    num_heads=6,
    num_kv_heads=2,
    head_size=32,
    ff_size=512,
    embedding_scale=192.0**0.5,
)
ROUTER = RouterConfig(top_k=4, hidden_size=32, tau=0.5)


def drafter(num_layers: int, width: int, ff_size: int) -> DecoderConfig:
    """A drafter with the primary's head size; the heads follow the width."""
    return dataclasses.replace(
        PRIMARY,
        num_layers=num_layers,
        width=width,
        num_heads=width // 32,
        num_kv_heads=max(1, width // 96),
        ff_size=ff_size,
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


PAIR = pair(drafter(num_layers=1, width=192, ff_size=512), layer_map=(9,))
