"""Which axis is split, by name and shape."""

from __future__ import annotations

import dataclasses

import pytest

from tandem_export.sharding import split_axis, splits_heads
from tests.tiny import LLAMA

WIDE = dataclasses.replace(LLAMA, num_heads=8, num_kv_heads=4)


@pytest.mark.parametrize(
    ("name", "shape", "axis"),
    [
        ("layers.0.attention.q.weight", (12, 32), 1),
        ("layers.3.attention.k.weight", (12, 16), 1),
        ("layers.0.attention.q.bias", (32,), 0),
        ("layers.0.attention.v.scale", (1, 16), 1),
        ("layers.0.attention.o.weight", (32, 12), 0),
        ("layers.0.attention.o.bias", (12,), None),
        ("layers.0.ff.gate.weight", (12, 20), 1),
        ("layers.0.ff.down.weight", (20, 12), 0),
        ("layers.0.ff.down.scale", (1, 12), None),
        ("head.weight", (12, 16), 1),
        ("embedding.weight", (16, 12), 0),
        ("embedding.scale", (16, 1), 0),
        ("embedding.weight", (17, 12), None),
        ("layers.0.attention.q_norm.weight", (4,), None),
        ("layers.0.attention_norm.weight", (12,), None),
        ("projection.0.weight", (12, 6), None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rules(name: str, shape: tuple[int, ...], axis: int | None) -> None:
    assert split_axis(name, shape, WIDE, 4) == axis


@pytest.mark.parametrize(("heads", "axis"), [(2, None), (1, 1)], ids=["several", "one for all"])
def test_heads_that_do_not_divide_are_kept_by_every_chip(heads: int, axis: int | None) -> None:
    config = dataclasses.replace(LLAMA, num_kv_heads=heads)
    assert splits_heads(WIDE, 4) and not splits_heads(config, 4)
    assert split_axis("layers.0.attention.k.weight", (12, 4 * heads), config, 4) is None
    assert split_axis("layers.0.attention.q.weight", (12, 16), config, 4) == axis
    assert split_axis("layers.0.ff.gate.weight", (12, 20), config, 4) == 1
