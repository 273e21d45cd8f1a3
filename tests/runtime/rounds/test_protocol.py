from __future__ import annotations

import pytest

from tandem_export.runtime import prefill_chunks


@pytest.mark.parametrize(
    ("count", "cache", "want"),
    [
        (0, 16, []),
        (1, 16, [(0, 4)]),
        (4, 16, [(0, 4)]),
        (5, 16, [(0, 8)]),
        (9, 16, [(0, 8), (8, 4)]),
        (9, 11, [(0, 8), (7, 4)]),
        (17, 18, [(0, 8), (8, 8), (14, 4)]),
    ],
)
def test_chunks_by_hand(count: int, cache: int, want: list[tuple[int, int]]) -> None:
    assert list(prefill_chunks(count, (4, 8), cache)) == want


def test_a_wide_chunk_is_worth_its_padding_only_when_little_of_it_is_padding() -> None:
    assert list(prefill_chunks(40, (32, 128), 256)) == [(0, 32), (32, 32)]
    assert list(prefill_chunks(70, (32, 128), 256)) == [(0, 128)]
    assert list(prefill_chunks(140, (32, 128), 256)) == [(0, 128), (128, 32)]


def test_chunks_cover_the_tokens_and_stay_inside_the_cache() -> None:
    for cache in range(8, 30):
        for count in range(cache + 1):
            done = 0
            for start, width in prefill_chunks(count, (3, 8), cache):
                assert start <= done < start + width <= cache
                done = start + width
            assert done >= count
