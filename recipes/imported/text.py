"""What the drafter learns from, in the primary's tokens, and the tokens that the drafter keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from recipes.stdlib_mini import corpus as stdlib
from tandem_export.checkpoint import Checkpoint

WINDOW = 256
HELD_OUT_WINDOWS = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Text:
    """Tokens that the primary reads from position 0 on.

    Attributes:
      tokens: `[n + 1]` int32.
      first: index of the first token that the drafter has to guess; at least 1.
    """

    tokens: np.ndarray
    first: int = 1


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Both sides of a corpus."""

    train: Sequence[Text]
    held_out: Sequence[Text]


def from_standard_library(checkpoint: Checkpoint, cache: Path, count: int) -> Texts:
    """`count` training windows, evenly spread over the standard library, and the held-out ones."""
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        tokenizer = Tokenizer.from_str(checkpoint.tokenizer_json)
        streams = {"train": _stream(tokenizer, False), "held_out": _stream(tokenizer, True)}
        np.savez(cache, train=streams["train"], held_out=streams["held_out"])
    stored = np.load(cache)
    return Texts(
        train=_spread(stored["train"], count),
        held_out=_spread(stored["held_out"], min(count, HELD_OUT_WINDOWS)),
    )


def _stream(tokenizer: Tokenizer, held_out: bool) -> np.ndarray:
    root = stdlib.standard_library()
    chosen = [name for name in stdlib.file_list() if stdlib.is_held_out(name) == held_out]
    texts = [text for name in chosen if (text := stdlib.read(root, name))]
    # The begin token, if the tokenizer puts one there, stands between files.
    return np.concatenate([np.array(e.ids, np.int32) for e in tokenizer.encode_batch(texts)])


def _spread(stream: np.ndarray, count: int) -> list[Text]:
    most = max(1, (len(stream) - 1) // WINDOW)
    starts = np.linspace(0, len(stream) - WINDOW - 1, min(count, most)).astype(int)
    return [Text(tokens=stream[start : start + WINDOW + 1]) for start in starts]


def kept_tokens(texts: Sequence[Text], size: int, vocabulary: int) -> np.ndarray:
    """The `size` most frequent of the tokens that have to be guessed, and id 0, sorted.

    Id 0 (padding, in most vocabularies) is the drafter's first row, which stands in for all that it
    does not know.
    """
    guessed = np.concatenate([text.tokens[text.first :] for text in texts])
    counts = np.bincount(guessed, minlength=vocabulary)
    counts[0] = counts.max() + 1
    return np.sort(np.argsort(-counts, kind="stable")[: min(size, vocabulary)])


def rows_of(kept: np.ndarray, vocabulary: int) -> np.ndarray:
    """The drafter's row of every token `[vocabulary]` int32; -1 for what it does not know."""
    rows = np.full(vocabulary, -1, np.int32)
    rows[kept] = np.arange(len(kept))
    return rows
