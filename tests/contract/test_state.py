from __future__ import annotations

import numpy as np
import pytest

from tandem_export.contract import (
    REGISTERS,
    CacheName,
    cache_length,
    cache_names,
    is_cache,
    parse_cache_name,
    prefix_name,
    rows_name,
    without_prefix,
    without_rows,
)


def test_a_cache_name_is_taken_apart_and_put_together() -> None:
    name = parse_cache_name("drafter_v.07")
    assert name == CacheName("drafter", "v", 7)
    assert str(name) == "drafter_v.07"


@pytest.mark.parametrize("name", [*REGISTERS, "owner", "prefix.primary_k.00", "primary_k.", "x"])
def test_other_names_are_no_caches(name: str) -> None:
    assert not is_cache(name) and parse_cache_name(name) is None


def test_names_are_in_the_order_of_layers() -> None:
    assert cache_names("primary", 2) == [
        ("primary_k.00", "primary_v.00"),
        ("primary_k.01", "primary_v.01"),
    ]


def test_more_than_a_hundred_layers_have_names() -> None:
    assert parse_cache_name(cache_names("primary", 101)[-1][0]) == CacheName("primary", "k", 100)


def test_prefixes_and_rows_lead_back_to_the_state() -> None:
    assert without_prefix(["slot", prefix_name("last")]) == ["last"]
    assert without_rows(["logits", rows_name("primary_k.00")]) == ["primary_k.00"]


def test_the_length_is_that_of_a_cache() -> None:
    state = {"position": np.zeros(4), "drafter_k.00": np.zeros((4, 1, 32, 8))}
    assert cache_length(state) == 32
    with pytest.raises(ValueError, match=r"`state` must hold a cache\. Got: \['position'\]"):
        cache_length({"position": state["position"]})
