from __future__ import annotations

import numpy as np
import pytest

from tandem_export.bundle import GraphRecord, TensorSpec
from tandem_export.errors import RequestError
from tandem_export.runtime.executors.host.cache import HostCache, make_caches

SHAPE = (2, 1, 6, 3)  # B, K, S, H


def test_rows_go_to_their_own_places_and_nowhere_else() -> None:
    cache = HostCache("primary", 2, SHAPE)
    rows, views = cache.block(2)
    views["rows.primary_v.01"][...] = 7
    cache.write(rows, np.array([4, 1], np.int32))
    wanted = np.zeros(SHAPE)
    wanted[0, :, 4:6] = wanted[1, :, 1:3] = 7
    np.testing.assert_array_equal(cache.layers["primary_v.01"], wanted)
    assert not any(a.any() for name, a in cache.layers.items() if name != "primary_v.01")


@pytest.mark.parametrize("start", [[0, 5], [-1, 0]], ids=["past-the-end", "before-the-start"])
def test_rows_outside_the_cache_are_refused_and_nothing_is_written(start: list[int]) -> None:
    cache = HostCache("primary", 1, SHAPE)
    rows, _ = cache.block(2)
    rows[...] = 1
    with pytest.raises(RequestError, match=r"`start` must be within 0 .. 4 for 2 rows .* Got: "):
        cache.write(rows, np.array(start, np.int32))
    assert not cache.layers["primary_k.00"].any()


def test_a_prefix_is_copied_to_any_slot() -> None:
    one, many = HostCache("drafter", 1, (1, 1, 6, 3)), HostCache("drafter", 1, SHAPE)
    one.layers["drafter_k.00"][...] = np.arange(18).reshape(1, 1, 6, 3)
    many.put_rows(1, one.copy_rows(4))
    one.layers["drafter_k.00"][...] = -1
    got = many.layers["drafter_k.00"]
    np.testing.assert_array_equal(got[1, 0, :4], np.arange(12).reshape(4, 3))
    assert not got[0].any()
    assert not got[1, 0, 4:].any()


def test_layers_are_contiguous_parts_of_one_array() -> None:
    cache = HostCache("primary", 3, SHAPE)
    layers = list(cache.layers.values())
    assert len(layers) == 6
    assert all(layer.flags.c_contiguous and layer.base is layers[0].base for layer in layers)


def test_caches_are_those_that_the_graphs_write() -> None:
    def spec(name: str, length: int) -> TensorSpec:
        return TensorSpec(name=name, shape=(2, 1, length, 3), dtype="float32")

    block = GraphRecord(
        name="primary_block_b2_t1",
        role="primary_block",
        batch=2,
        gamma=None,
        width=1,
        parity="P1",
        params=(),
        state=(spec("primary_k.00", 6), spec("primary_v.00", 6)),
        inputs=(),
        outputs=(spec("rows.primary_k.00", 1), spec("rows.drafter_k.00", 1)),
        difference=None,
    )
    caches = make_caches([block], 2, 6)
    assert set(caches) == {"primary", "drafter"}
    assert caches["drafter"].layers["drafter_k.00"].shape == (2, 1, 6, 3)
