"""Computes random numbers as a function of (seed, position, stream, lane): Threefry-2x32-20.

Counter based (Salmon et al. 2011, Random123), without hidden state: a token's noise does not depend
on the batch, the block length or the executor. `contract/noise.py` lays out the counter;
`graphs/numerics/threefry.py` is the twin in jax.
"""

from __future__ import annotations

import numpy as np

from tandem_export.contract import Stream, counter_word

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_LARGEST_UNIFORM = np.float32(1 - 2.0**-24)

Words = np.ndarray  # uint32


def _rotate_left(x: Words, bits: int) -> Words:
    return (x << np.uint32(bits)) | (x >> np.uint32(32 - bits))


def threefry2x32(key: Words, first: Words, second: Words) -> tuple[Words, Words]:
    """Runs twenty rounds of Threefry-2x32.

    Args:
      key: `[2]` uint32.
      first: the counter's first words, a uint32 array of at least one axis.
      second: its second words, in the same shape.

    Returns:
      The two output words, uint32, in the counter's shape.
    """
    a, b = key[:1], key[1:2]
    keys = (a, b, a ^ b ^ np.uint32(_PARITY))
    x, y = first + keys[0], second + keys[1]
    for group in range(5):
        for bits in _ROTATIONS[group % 2]:
            x = x + y
            y = _rotate_left(y, bits) ^ x
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def split_seed(seed: int) -> Words:
    """Returns the (low, high) words of a 64-bit seed, `[2]` uint32."""
    return np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)


def sample_seed(seed: int, sample: int) -> Words:
    """Returns the seed of one sample of a request, `[2]` uint32; sample 0 has the request's."""
    words = split_seed(seed)
    if sample == 0:
        return words
    counter = np.array([sample, counter_word(Stream.SAMPLE)], np.uint32)
    return np.concatenate(threefry2x32(words, counter[:1], counter[1:]))


def _lanes(seed: Words, position: int, stream: int, lanes: int) -> np.ndarray:
    block = np.arange((lanes + 1) // 2, dtype=np.uint32) + np.uint32(counter_word(stream))
    place = np.full_like(block, position)
    return _uniform(np.stack(threefry2x32(seed, place, block), -1).reshape(-1)[:lanes])


def _uniform(words: Words) -> np.ndarray:
    value = (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    # The top word would round up to 1.0, whose Gumbel noise is infinite.
    return np.minimum(value + np.float32(2.0**-25), _LARGEST_UNIFORM)


def uniform(seed: Words, position: int, stream: int, lane: int = 0) -> np.float32:
    """Returns one number in the open interval (0, 1), float32.

    Args:
      seed: `[2]` uint32.
      position: the token's index in its sequence, prompt included.
      stream: a `contract.Stream`.
      lane: which number of that stream.
    """
    return _lanes(seed, position, stream, lane + 1)[lane]


def gumbel(seed: Words, position: int, stream: int, size: int) -> np.ndarray:
    """Returns Gumbel noise of lanes 0 .. size - 1, `[V]` float32, always finite."""
    return -np.log(-np.log(_lanes(seed, position, stream, size)))


# Gumbel noise lies between -log(-log(2^-25)) and -log(-log(1 - 2^-24)): -2.86 and 16.64.
NOISE_RANGE = 19.6


def gumbel_of(seed: Words, position: int, stream: int, lanes: np.ndarray) -> np.ndarray:
    """Returns `gumbel` of some lanes only, `[n]` float32 for `[n]` ascending lane numbers."""
    block = (lanes >> 1).astype(np.uint32) + np.uint32(counter_word(stream))
    first, second = threefry2x32(seed, np.full_like(block, position), block)
    return -np.log(-np.log(_uniform(np.where(lanes & 1, second, first))))
