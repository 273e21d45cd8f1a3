"""Key/value caches in host memory: one array a model, written in place."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tandem_export.bundle import GraphRecord
from tandem_export.errors import RequestError

WHO = ("primary", "drafter")


class HostCache:
    """One model's cache `[L, 2, B, K, S, H]` float32; 2 is keys, then values.

    Attributes:
      length: S.
      layers: its parts `[B, K, S, H]` by state name, such as `primary_k.00`; views, contiguous.
    """

    def __init__(self, who: str, layers: int, shape: tuple[int, ...]) -> None:
        """Zeros; `shape` is `[B, K, S, H]`."""
        self._who, self._layers, self._shape = who, layers, shape
        self._whole = np.zeros((layers, 2, *shape), np.float32)
        self.length = shape[2]
        self.layers = self._named(self._whole)

    def _named(self, whole: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
        return {
            f"{prefix}{self._who}_{x}.{j:02}": whole[j, i]
            for j in range(self._layers)
            for i, x in enumerate("kv")
        }

    def block(self, width: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Room for the rows of a block, `[L, 2, B, K, T, H]`, and its parts `rows.<state name>`."""
        B, K, _, H = self._shape
        whole = np.zeros((self._layers, 2, B, K, width, H), np.float32)
        return whole, self._named(whole, "rows.")

    def write(self, rows: np.ndarray, start: np.ndarray) -> None:
        """Copies a block's rows `[L, 2, B, K, T, H]` to `start .. start + T - 1` of each row.

        Raises:
          RequestError: they would end outside the cache; nothing was written.
        """
        width = rows.shape[4]
        if (start < 0).any() or (start + width > self.length).any():
            rule = f"`start` must be within 0 .. {self.length - width} for {width} rows"
            raise RequestError(f"{rule} in a cache of {self.length}. Got: {start.tolist()}")
        for b, at in enumerate(start.tolist()):
            self._whole[:, :, b, :, at : at + width] = rows[:, :, b]

    def copy_rows(self, count: int) -> np.ndarray:
        """A copy of the first `count` places of row 0, `[L, 2, K, count, H]`."""
        return self._whole[:, :, 0, :, :count].copy()

    def put_rows(self, slot: int, rows: np.ndarray) -> None:
        """Writes what `copy_rows` gave to the first places of row `slot`."""
        self._whole[:, :, slot, :, : rows.shape[3]] = rows


def make_caches(graphs: Iterable[GraphRecord], batch: int, length: int) -> dict[str, HostCache]:
    """The caches, by model, that graphs of the `rows` contract write: `batch` rows of `length`."""
    outputs = {spec.name: spec.shape for graph in graphs for spec in graph.outputs}
    prefix = "rows."
    shapes = {n.removeprefix(prefix): s for n, s in outputs.items() if n.startswith(prefix)}
    caches = {}
    for who in WHO:
        keys = [name for name in shapes if name.startswith(f"{who}_k.")]
        if keys:
            _, K, _, H = shapes[keys[0]]
            caches[who] = HostCache(who, len(keys), (batch, K, length, H))
    return caches
