"""The corpus in the primary's tokens, and the part of its vocabulary that the drafter keeps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from recipes.stdlib_mini import corpus as stdlib
from tandem_export.checkpoint import Checkpoint

WINDOW = 256
HELD_OUT_WINDOWS = 64


@dataclass(frozen=True)
class Windows:
    """Texts as windows of `WINDOW` + 1 tokens, `[N, WINDOW + 1]` int32."""

    train: np.ndarray
    held_out: np.ndarray


def load_windows(checkpoint: Checkpoint, cache: Path, count: int) -> Windows:
    """`count` training windows, evenly spread over the standard library, and the held-out ones."""
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        tokenizer = Tokenizer.from_str(checkpoint.tokenizer_json)
        streams = {"train": _stream(tokenizer, False), "held_out": _stream(tokenizer, True)}
        np.savez(cache, train=streams["train"], held_out=streams["held_out"])
    stored = np.load(cache)
    return Windows(
        train=_spread(stored["train"], count),
        held_out=_spread(stored["held_out"], min(count, HELD_OUT_WINDOWS)),
    )


def _stream(tokenizer: Tokenizer, held_out: bool) -> np.ndarray:
    root = stdlib.standard_library()
    chosen = [name for name in stdlib.file_list() if stdlib.is_held_out(name) == held_out]
    texts = [text for name in chosen if (text := stdlib.read(root, name))]
    # The begin token, if the tokenizer puts one there, stands between files.
    return np.concatenate([np.array(e.ids, np.int32) for e in tokenizer.encode_batch(texts)])


def _spread(stream: np.ndarray, count: int) -> np.ndarray:
    most = max(1, (len(stream) - 1) // WINDOW)
    starts = np.linspace(0, len(stream) - WINDOW - 1, min(count, most)).astype(int)
    return np.stack([stream[start : start + WINDOW + 1] for start in starts])


def kept_tokens(windows: Windows, size: int, vocabulary: int) -> np.ndarray:
    """The `size` most frequent tokens of the training windows, and id 0, sorted.

    Id 0 (padding, in most vocabularies) is the drafter's first row, which stands in for all that it
    does not know.
    """
    counts = np.bincount(windows.train.ravel(), minlength=vocabulary)
    counts[0] = counts.max() + 1
    return np.sort(np.argsort(-counts, kind="stable")[: min(size, vocabulary)])


def as_rows(tokens: np.ndarray, kept: np.ndarray, vocabulary: int) -> np.ndarray:
    """Token ids as the drafter's rows; 0 for what it does not know."""
    rows = np.zeros(vocabulary, np.int32)
    rows[kept] = np.arange(len(kept))
    return rows[tokens]
