"""Computes random numbers as a function of (seed, position, stream, lane): Threefry-2x32-20.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; constants as in Random123.
There is no hidden state: the noise of a token depends on its row's seed and its index in the
sequence alone, whatever was drafted, accepted or batched with it. `contract/noise.py` lays out the
counter. `runtime/reference/threefry.py` is the numpy twin; both are tested against the published
vectors.
"""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt32

from tandem_export.contract import counter_word
from tandem_export.model import jit, jit_static

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


@jit  # a graph holds one round, not twenty: the compilers inline the calls
def _round(x0: Array, x1: Array, by: Array) -> tuple[Array, Array]:
    x0 = x0 + x1
    return x0, ((x1 << by) | (x1 >> (jnp.uint32(32) - by))) ^ x0


@jit
def threefry2x32(
    key: tuple[UInt32[Array, "..."], UInt32[Array, "..."]],
    counter: tuple[UInt32[Array, "..."], UInt32[Array, "..."]],
) -> tuple[UInt32[Array, "..."], UInt32[Array, "..."]]:
    """Returns the Threefry-2x32 block function with 20 rounds; all four words have one shape."""
    keys = (*key, key[0] ^ key[1] ^ jnp.uint32(_PARITY))
    x0, x1 = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for by in _ROTATIONS[group % 2]:
            x0, x1 = _round(x0, x1, jnp.uint32(by))
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return x0, x1


def _unit(word: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """Returns the upper 24 bits as a float32 strictly between 0 and 1."""
    value = (word >> jnp.uint32(8)).astype(jnp.float32) * 2.0**-24 + 2.0**-25
    # The top word would round up to 1.0, whose Gumbel noise is infinite.
    return jnp.minimum(value, 1 - 2.0**-24)


def uniform(
    seed: UInt32[Array, "B 2"], position: Int[Array, " B"], stream: int, lanes: int = 1
) -> Float[Array, "B lanes"]:
    """Returns uniform noise in (0, 1) for each lane of each row's position."""
    return _uniform(seed, position.astype(jnp.uint32), jnp.uint32(counter_word(stream)), lanes)


@jit_static("lanes")
def _uniform(seed: Array, position: Array, first_block: Array, lanes: int) -> Array:
    words = cast(
        "Array",
        jax.lax.platform_dependent(
            seed,
            position,
            first_block,
            tpu=partial(words_by_lane, lanes=lanes),
            default=partial(words_by_block, lanes=lanes),
        ),
    )
    return _unit(words)


def words_by_block(
    seed: UInt32[Array, "B 2"],
    position: UInt32[Array, " B"],
    first_block: UInt32[Array, ""],
    *,
    lanes: int,
) -> UInt32[Array, "B lanes"]:
    """Computes each block once, then puts its two words side by side."""
    block = first_block + jnp.arange((lanes + 1) // 2, dtype=jnp.uint32)
    words = jnp.stack(_blocks(seed, position, block), -1)
    return words.reshape(seed.shape[0], -1)[:, :lanes]


def words_by_lane(
    seed: UInt32[Array, "B 2"],
    position: UInt32[Array, " B"],
    first_block: UInt32[Array, ""],
    *,
    lanes: int,
) -> UInt32[Array, "B lanes"]:
    """Returns the same, each block twice, once for either word.

    A TPU computes more than it needs in less time than it takes to put words side by side, for
    which its compiler lays arrays out with few rows in place of 128.
    """
    lane = jnp.arange(lanes, dtype=jnp.uint32)
    first, second = _blocks(seed, position, first_block + (lane >> jnp.uint32(1)))
    return jnp.where((lane & jnp.uint32(1))[None, :] == 0, first, second)


def _blocks(seed: Array, position: Array, block: Array) -> tuple[Array, Array]:
    shape = (seed.shape[0], block.size)
    key, counter = (seed[:, :1], seed[:, 1:]), (position[:, None], block[None, :])

    def wide(words: tuple[Array, Array]) -> tuple[Array, Array]:
        return jnp.broadcast_to(words[0], shape), jnp.broadcast_to(words[1], shape)

    return threefry2x32(wide(key), wide(counter))


def gumbel(
    seed: UInt32[Array, "B 2"], position: Int[Array, " B"], stream: int, vocab_size: int
) -> Float[Array, "B V"]:
    """Returns standard Gumbel noise `[B, V]`: argmax(log p + noise) is a sample of p."""
    return -jnp.log(-jnp.log(uniform(seed, position, stream, vocab_size)))
