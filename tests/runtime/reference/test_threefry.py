from __future__ import annotations

import numpy as np
import pytest

from tandem_export.contract import Stream
from tandem_export.runtime.reference import threefry as random
from tandem_export.runtime.reference.threefry import (
    NOISE_RANGE,
    gumbel,
    gumbel_of,
    sample_seed,
    uniform,
)

# Random123 1.14, kat_vectors: threefry2x32, 20 rounds: counter, key, result.
VECTORS = [
    ("00000000 00000000", "00000000 00000000", "6b200159 99ba4efe"),
    ("ffffffff ffffffff", "ffffffff ffffffff", "1cb996fc bb002be7"),
    ("243f6a88 85a308d3", "13198a2e 03707344", "c4923a9c 483df7a0"),
]


def words(text: str) -> np.ndarray:
    return np.array([int(word, 16) for word in text.split()], np.uint32)


@pytest.mark.parametrize(("counter", "key", "want"), VECTORS, ids=["zeros", "ones", "pi"])
def test_threefry_gives_the_published_vectors(counter: str, key: str, want: str) -> None:
    first, second = words(counter)[:1], words(counter)[1:]
    got = np.concatenate(random.threefry2x32(words(key), first, second))
    np.testing.assert_array_equal(got, words(want))


def test_uniform_is_the_upper_24_bits_of_a_word() -> None:
    # Key and counter zero: word 0x6b200159, upper 24 bits 0x6b2001; lane 1 is 0x99ba4e.
    zero = np.zeros(2, np.uint32)
    assert uniform(zero, 0, Stream.TOKEN, 0) == np.float32(0x6B2001 * 2.0**-24 + 2.0**-25)
    assert uniform(zero, 0, Stream.TOKEN, 1) == np.float32(0x99BA4E * 2.0**-24 + 2.0**-25)


def test_counter_is_position_then_stream_and_block() -> None:
    seed = np.array([3, 4], np.uint32)
    counter = np.array([17, (Stream.RESIDUAL << 28) + 2], np.uint32)
    first, _ = random.threefry2x32(seed, counter[:1], counter[1:])
    want = np.float32((first[0] >> 8) * 2.0**-24 + 2.0**-25)
    assert uniform(seed, 17, Stream.RESIDUAL, 4) == want


def test_streams_positions_and_seeds_differ() -> None:
    seeds = [np.array(seed, np.uint32) for seed in ([0, 0], [1, 0], [0, 1])]
    drawn = [
        uniform(s, p, stream)
        for s in seeds
        for p in (0, 1)
        for stream in (Stream.TOKEN, Stream.ACCEPT)
    ]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("word", [0, 2**32 - 1], ids=["smallest", "largest"])
def test_noise_is_finite_for_every_word(word: int, monkeypatch: pytest.MonkeyPatch) -> None:
    both = np.array([word], np.uint32)
    monkeypatch.setattr(random, "threefry2x32", lambda *_: (both, both))
    u = uniform(np.zeros(2, np.uint32), 0, Stream.TOKEN)
    assert 0 < u < 1
    assert np.isfinite(gumbel(np.zeros(2, np.uint32), 0, Stream.TOKEN, 2)).all()


def test_gumbel_max_samples_the_distribution() -> None:
    p = np.array([0.5, 0.3, 0.2], np.float32)
    seed = np.array([11, 0], np.uint32)
    n = 4000
    drawn = [int(np.argmax(np.log(p) + gumbel(seed, i, Stream.TOKEN, 3))) for i in range(n)]
    seen = np.bincount(drawn, minlength=3)
    chi_square = float(np.sum((seen - n * p) ** 2 / (n * p)))
    assert chi_square < 13.8  # 2 degrees of freedom, 0.1 %


def test_sample_seeds_are_distinct_and_sample_0_has_the_seed_itself() -> None:
    seed = 0x1234_5678_9ABC_DEF0
    assert sample_seed(seed, 0).tolist() == [0x9ABCDEF0, 0x12345678]
    further = {tuple(sample_seed(seed, i).tolist()) for i in range(8)}
    assert len(further) == 8


def test_some_lanes_are_those_of_all() -> None:
    lanes = np.array([0, 1, 2, 7, 30, 31])
    some = gumbel_of(words("5 6"), 9, Stream.RESIDUAL, lanes)
    np.testing.assert_array_equal(some, gumbel(words("5 6"), 9, Stream.RESIDUAL, 32)[lanes])


def test_noise_lies_within_its_range() -> None:
    ends = np.array([2.0**-25, 1 - 2.0**-24], np.float32)
    low, high = -np.log(-np.log(ends))
    assert high - low < NOISE_RANGE
