"""Bytes and operations of a run, counted by hand on a tiny pair."""

from __future__ import annotations

import dataclasses
import math

import ml_dtypes
import numpy as np
import pytest

from tandem_export.graphs import param_shapes
from tandem_export.model import shapes
from tandem_export.tpu.chips import slice_named
from tandem_export.tpu.plan import PRESETS, read_pair
from tandem_export.tpu.plan.costs import pair_costs
from tests.tiny import INDEPENDENT, TANDEM

ONE = slice_named("v5e")


def test_stored_bytes_are_all_tensors() -> None:
    pair = pair_costs(TANDEM, ONE, "bfloat16", 128)
    own = [s for part in ("primary", "drafter") for s in shapes(TANDEM, part).values()]
    assert pair.stored_bytes == 2 * sum(math.prod(shape) for shape in own)


def test_int8_is_what_a_bundle_stores() -> None:
    wide, small = (pair_costs(TANDEM, ONE, s, 128) for s in ("bfloat16", "int8"))
    stored = param_shapes(TANDEM, np.dtype(ml_dtypes.bfloat16), "int8")
    own = [leaf for name, leaf in stored.items() if not name.startswith("router.")]
    assert small.stored_bytes == sum(math.prod(s.shape) * s.dtype.itemsize for s in own)
    assert wide.primary.weight_flops == small.primary.weight_flops


def test_cache_bytes_of_a_row() -> None:
    """Keys and values, 2 layers, 2 heads of 4, 128 positions, 2 bytes."""
    assert pair_costs(TANDEM, ONE, "bfloat16", 128).primary.cache_bytes == 2 * 2 * 2 * 4 * 128 * 2


def test_an_untied_table_is_not_read_whole() -> None:
    """The primary reads its head `[12, 17]`, and of the embedding `[17, 12]` only rows."""
    pair = pair_costs(INDEPENDENT, ONE, "bfloat16", 128)
    own = shapes(INDEPENDENT, "primary")
    read = sum(math.prod(s) for n, s in own.items() if n != "embedding.weight")
    assert pair.primary.weight_bytes == 2 * read


def test_a_tandem_block_reads_the_projections_and_a_step_does_not() -> None:
    tandem = pair_costs(TANDEM, ONE, "bfloat16", 128)
    alone = pair_costs(INDEPENDENT, ONE, "bfloat16", 128)
    assert tandem.primary.weight_bytes > alone.primary.weight_bytes
    assert tandem.drafter.weight_bytes == alone.drafter.weight_bytes


def test_layers_are_counted_by_the_depth() -> None:
    deep = dataclasses.replace(
        TANDEM, primary=dataclasses.replace(TANDEM.primary, num_layers=5), layer_map=(1, 5)
    )
    pair = pair_costs(deep, ONE, "bfloat16", 128)
    own = [s for part in ("primary", "drafter") for s in shapes(deep, part).values()]
    assert pair.stored_bytes == 2 * sum(math.prod(shape) for shape in own)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_draft_at_a_tenth_to_a_sixth(preset: str) -> None:
    pair = pair_costs(read_pair(preset), ONE, "bfloat16", 2048)
    cost = pair.drafter.seconds(ONE, 1, 1) / pair.primary.seconds(ONE, 1, 1)
    assert 0.1 <= cost <= 1 / 6


@pytest.mark.parametrize(
    ("preset", "billions"), [("270m", 0.27), ("2b", 2.5), ("8b", 8.0)], ids=PRESETS
)
def test_presets_have_the_size_of_their_name(preset: str, billions: float) -> None:
    primary = dataclasses.replace(read_pair(preset).primary, num_layers=1)
    one = TANDEM.__class__(primary=primary, drafter=primary, kind="independent")
    layers = read_pair(preset).primary.num_layers
    count = sum(
        math.prod(shape) * (layers if name.startswith("layers.") else 1)
        for name, shape in shapes(one, "primary").items()
    )
    assert count / 1e9 == pytest.approx(billions, rel=0.02)
