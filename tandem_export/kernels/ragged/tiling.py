"""How the kernel cuts its arrays, and which shapes it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from tandem_export.errors import ConfigError

# A register of the chip is 8 rows of 128 lanes: arrays are cut in multiples of them.
SUBLANES, _LANES = 8, 128
_LARGEST = 512
# On-chip memory that the compiler lets one operation use, bytes.
_VMEM = 16 << 20
_DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How the cache is read.

    Attributes:
      block: positions of the cache that one step of the grid takes.
      transposed: the cache is taken as `[B, K, H, S]`. Heads that do not fill a register's lanes
        lie that way in the chip's memory; taken the other way, each call would copy the cache.
    """

    block: int
    transposed: bool


def tiling_of(q: tuple[int, ...], cache: tuple[int, ...], dtype: DTypeLike) -> Tiling:
    """Returns the tiling for queries `[B, T, N, H]` and a cache `[B, K, S, H]`.

    Raises:
      ConfigError: the kernel does not take these shapes; the text says what to change.
    """
    (_, T, N, H), (K, S) = q, cache[1:3]
    check_support(S, dtype)
    rows = -(-N // K * T // SUBLANES) * SUBLANES
    blocks = [n for n in range(_LARGEST, 0, -_LANES) if S % n == 0]
    fitting = [n for n in blocks if _working_set(rows, H, n, np.dtype(dtype).itemsize) <= _VMEM]
    if not fitting:
        rule = f"query heads of a key/value head times block length must fit {_VMEM >> 20} MiB"
        hint = "Use a smaller `gamma`, or `attention` two_part."
        raise ConfigError(f"`attention` kernel: {rule}. Got: {N // K} x {T} rows of {H}. {hint}")
    return Tiling(block=fitting[0], transposed=H % _LANES > 0)


def check_support(cache: int, dtype: DTypeLike) -> None:
    """Checks that the kernel takes a build's caches; every head size is fine.

    Args:
      cache: positions S of a row's cache.
      dtype: of queries, keys and values.

    Raises:
      ConfigError: it does not; the text says what to change.
    """
    if cache % _LANES:
        rule = f"`cache` must be a multiple of {_LANES} with `attention` kernel"
        raise ConfigError(f"{rule}. Got: {cache}. The next is {-(-cache // _LANES) * _LANES}.")
    name = np.dtype(dtype).name
    if name not in _DTYPES:
        rule = f"`dtype` must be one of {_DTYPES} with `attention` kernel"
        raise ConfigError(f"{rule}. Got: {name!r}. Build in one of them.")


def _working_set(rows: int, H: int, block: int, itemsize: int) -> int:
    """Estimates bytes on the chip: arrays in flight twice, the softmax so far, a block's scores."""
    lanes = max(H, _LANES)
    flying = 2 * itemsize * lanes * (2 * rows + 2 * block)
    return flying + 4 * rows * (lanes + 2 * _LANES) + 3 * 4 * rows * block
