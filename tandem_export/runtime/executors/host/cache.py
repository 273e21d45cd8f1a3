"""Key/value caches in host memory: one array a model, written in place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tandem_export.bundle import GraphRecord
from tandem_export.contract import (
    MODELS,
    ModelName,
    cache_names,
    parse_cache_name,
    rows_name,
    without_rows,
)
from tandem_export.errors import RequestError


class HostCache:
    """One model's cache `[L, 2, B, K, S, H]` float32; 2 is keys, then values.

    Attributes:
      length: S.
      layers: its parts `[B, K, S, H]` by state name, such as `primary_k.00`; views, contiguous.
    """

    def __init__(self, model: ModelName, layers: int, shape: tuple[int, ...]) -> None:
        """Makes a cache of zeros; `shape` is `[B, K, S, H]`."""
        self._names, self._layers, self._shape = cache_names(model, layers), layers, shape
        self._whole = np.zeros((layers, 2, *shape), np.float32)
        self.length = shape[2]
        self.layers = self._by_name(self._whole)

    def _by_name(self, array: np.ndarray) -> dict[str, np.ndarray]:
        return {
            name: array[layer, i]
            for layer, pair in enumerate(self._names)
            for i, name in enumerate(pair)
        }

    def block(self, width: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Returns room for the rows of a block, `[L, 2, B, K, T, H]`, and its parts by output."""
        B, K, _, H = self._shape
        rows = np.zeros((self._layers, 2, B, K, width, H), np.float32)
        return rows, {rows_name(name): part for name, part in self._by_name(rows).items()}

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

    def take(self, other: HostCache, order: Sequence[int | None]) -> None:
        """Copies row `order[i]` of another batch's cache to row i; None leaves a row as it is."""
        for row, at in enumerate(order):
            if at is not None:
                self._whole[:, :, row] = other._whole[:, :, at]

    def copy_rows(self, count: int) -> np.ndarray:
        """Returns a copy of the first `count` places of row 0, `[L, 2, K, count, H]`."""
        return self._whole[:, :, 0, :, :count].copy()

    def put_rows(self, slot: int, rows: np.ndarray) -> None:
        """Writes what `copy_rows` gave to the first places of row `slot`."""
        self._whole[:, :, slot, :, : rows.shape[3]] = rows


def make_caches(
    graphs: Iterable[GraphRecord], batch: int, length: int
) -> dict[ModelName, HostCache]:
    """Makes the caches, by model, that graphs in the `rows` contract write: `batch` rows each."""
    shapes = {
        parse_cache_name(name): spec.shape
        for graph in graphs
        for spec in graph.outputs
        for name in without_rows([spec.name])
    }
    caches: dict[ModelName, HostCache] = {}
    for model in MODELS:
        keys = [shape for name, shape in shapes.items() if name and name[:2] == (model, "k")]
        if keys:
            _, K, _, H = keys[0]
            caches[model] = HostCache(model, len(keys), (batch, K, length, H))
    return caches
