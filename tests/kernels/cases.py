"""The shapes that the kernel's tests share."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

# Of a cache of 256 in blocks of 128 or 256: nothing, one, around a block's edge, all.
STARTS = (0, 1, 127, 128, 129, 256)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A block of `T` tokens over a cache of `S` positions; see the axes in docs."""

    N: int
    K: int
    H: int
    T: int = 3
    S: int = 256
    B: int = len(STARTS)
    dtype: str = "float32"

    @property
    def id(self) -> str:
        heads = "multi-query" if self.K == 1 else "grouped"
        return f"{heads}-{self.H}-{self.T}-{self.dtype}"

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of q, cache keys and values, block keys and values."""
        cache, block = (self.B, self.K, self.S, self.H), (self.B, self.K, self.T, self.H)
        return ((self.B, self.T, self.N, self.H), cache, cache, block, block)

    def draw(self, seed: int = 0) -> list[Any]:
        """Normal values of `shapes`."""
        rng = np.random.default_rng(seed)
        return [jnp.asarray(rng.normal(size=shape), self.dtype) for shape in self.shapes]


CASES = [
    Case(N=4, K=2, H=64),
    Case(N=4, K=1, H=64, dtype="bfloat16"),
    Case(N=4, K=1, H=128, T=6),
    Case(N=4, K=2, H=128, dtype="bfloat16"),
    Case(N=4, K=2, H=256, T=1, dtype="bfloat16"),
    Case(N=2, K=1, H=256),
]
