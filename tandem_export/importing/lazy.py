"""A tensor that is made when somebody asks for its values: one is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike

# What a checkpoint holds; float16 has no exponent for the values of a model trained in bfloat16.
KEPT = (np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16), np.dtype(np.int32))


@dataclass(frozen=True, kw_only=True, eq=False)
class LazyTensor:
    """An array that `read` makes, known by shape and dtype before."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.read(), dtype, copy=copy)

    def transposed(self) -> LazyTensor:
        """Returns a tensor `[out, in]` as `[in, out]`."""
        return LazyTensor(
            shape=self.shape[::-1],
            dtype=self.dtype,
            read=lambda: np.ascontiguousarray(self.read().T),
        )

    def cast(self, dtype: np.dtype) -> LazyTensor:
        """Returns the values in another dtype."""
        return LazyTensor(shape=self.shape, dtype=dtype, read=lambda: self.read().astype(dtype))

    def take(self, rows: np.ndarray, axis: int = 0) -> LazyTensor:
        """Returns some rows, in the order of `rows`."""
        shape = (*self.shape[:axis], len(rows), *self.shape[axis + 1 :])
        return LazyTensor(
            shape=shape, dtype=self.dtype, read=lambda: np.take(self.read(), rows, axis)
        )

    def then(self, after: Callable[[], None]) -> LazyTensor:
        """Returns the same values; `after` is called whenever they were read."""

        def read() -> np.ndarray:
            values = self.read()
            after()
            return values

        return LazyTensor(shape=self.shape, dtype=self.dtype, read=read)


def lazy(array: np.ndarray) -> LazyTensor:
    """Returns an array that is there, mapped or not, as a `LazyTensor`.

    Other integers become int32, other floats float32.
    """
    tensor = LazyTensor(shape=array.shape, dtype=array.dtype, read=lambda: array)
    wanted = np.dtype(np.int32 if array.dtype.kind in "iu" else np.float32)
    return tensor if array.dtype in KEPT else tensor.cast(wanted)
