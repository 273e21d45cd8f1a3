"""Cached features as batches of training windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recipes.imported.features import Shard

CONTEXT = 32  # tokens before the first one to guess that a window may begin with
_ROWS = 8
Batch = dict[str, np.ndarray]


class _Span(NamedTuple):
    """A text's positions in its shard, and the first one whose label counts."""

    shard: int
    start: int
    length: int
    first: int


class Features:
    """Windows of the shards' texts, read as they are drawn."""

    def __init__(self, paths: Sequence[Path], levels: Sequence[int], rows: np.ndarray) -> None:
        """Maps the shards; nothing is read yet.

        Args:
          paths: of `compute`.
          levels: activations that a batch has.
          rows: the drafter's row of every token, of `rows_of`.
        """
        self._shards = [_open(path) for path in paths]
        self._levels, self._rows = sorted(set(levels)), rows
        self.spans = [span for i, shard in enumerate(self._shards) for span in _spans(i, shard)]
        sizes = np.array([span.length - _earliest(span) for span in self.spans], float)
        self._share = sizes / sizes.sum()

    def batch(self, rng: np.random.Generator, rows: int, length: int) -> Batch:
        """`rows` windows of `length` tokens, each from a text and a place of its own.

        Returns:
          `tokens` `[B, T]` drafter rows. The others are flat, `[M]` or `[M, ...]` with M = B * T:
          `labels` drafter rows; `counted` 1 where the label has to be guessed; `known` 1 where it
          also is one of the drafter's tokens; `x{level}` `[M, D]` float32; `top_p`, `top_row`
          `[M, TOP]`, 0 where the drafter lacks the token; `best`, the row of the primary's choice,
          -1 where the drafter lacks it.
        """
        chosen = [self.spans[i] for i in rng.choice(len(self.spans), rows, p=self._share)]
        starts = [
            int(rng.integers(low := _earliest(span), max(low, span.length - length) + 1))
            for span in chosen
        ]
        return self._cut(chosen, starts, length)

    def all(self, texts: slice) -> Iterator[Batch]:
        """These of the texts, each from its beginning, some at a time."""
        spans = self.spans[texts]
        longest = max((span.length for span in spans), default=0)
        for at in range(0, len(spans), _ROWS):
            part = spans[at : at + _ROWS]
            yield self._cut(part, [0] * len(part), longest)

    def _cut(self, spans: Sequence[_Span], starts: Sequence[int], length: int) -> Batch:
        windows = [
            self._window(span, start, length) for span, start in zip(spans, starts, strict=True)
        ]
        out = {name: np.concatenate([window[name] for window in windows]) for name in windows[0]}
        return out | {"tokens": out["tokens"].reshape(len(spans), length)}

    def _window(self, span: _Span, start: int, length: int) -> Batch:
        count, shard = min(length, span.length - start), self._shards[span.shard]
        at = slice(span.start + start, span.start + start + count)
        labels, top = self._rows[shard["labels"][at]], self._rows[shard["top_id"][at]]
        counted = np.arange(start, start + count) >= span.first
        out = {
            "tokens": np.maximum(self._rows[shard["tokens"][at]], 0),
            "labels": np.maximum(labels, 0),
            "counted": counted.astype(np.float32),
            "known": (counted & (labels >= 0)).astype(np.float32),
            "best": top[:, 0],
            "top_row": np.maximum(top, 0),
            "top_p": np.where(top >= 0, shard["top_p"][at].astype(np.float32), 0),
        }
        for level in self._levels:
            scale = shard[f"scale_x{level}"]
            out[f"x{level}"] = shard[f"x{level}"][at].astype(np.float32) * scale
        return {name: _padded(value, length) for name, value in out.items()}


def _open(path: Path) -> Shard:
    return {file.stem: np.load(file, mmap_mode="r") for file in sorted(path.glob("*.npy"))}


def _spans(number: int, shard: Shard) -> list[_Span]:
    lengths = shard["lengths"].tolist()
    starts = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    # The token at index i is the label of position i - 1.
    firsts = (np.asarray(shard["first"]) - 1).tolist()
    rows = zip(starts, lengths, firsts, strict=False)
    return [_Span(number, start, length, first) for start, length, first in rows]


def _earliest(span: _Span) -> int:
    return max(0, span.first - CONTEXT)


def _padded(value: np.ndarray, length: int) -> np.ndarray:
    """Zeros behind: later positions change nothing before them, and count for nothing."""
    if len(value) == length:
        return value
    return np.concatenate([value, np.zeros((length - len(value), *value.shape[1:]), value.dtype)])
