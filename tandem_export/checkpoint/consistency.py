"""The tokenizer and the vocabulary, held against each other and against the config."""

from __future__ import annotations

import numpy as np

from tandem_export.checkpoint.record import Vocabulary
from tandem_export.config import TandemConfig
from tandem_export.errors import CheckpointError
from tandem_export.storage import load_tokenizer


def check_vocabulary(vocabulary: Vocabulary, config: TandemConfig) -> None:
    """Checks that the embedding has a row for every token.

    Raises:
      CheckpointError: it has fewer. More is fine: embeddings are often padded.
    """
    rows = config.primary.vocab_size
    if vocabulary.size > rows:
        raise CheckpointError(
            f"`vocabulary.size` must be at most `config.primary.vocab_size` = {rows}. "
            f"Got: {vocabulary.size}"
        )


def check_rows(rows: np.ndarray, config: TandemConfig) -> None:
    """Checks a drafter's `vocabulary.rows`: every row is some token's own, and no row is beyond.

    Raises:
      CheckpointError: an id beyond the drafter's embedding, or a row without exactly one token.
    """
    size = config.drafter.vocab_size
    beyond = rows[(rows >= size) | (rows < -size)]
    if beyond.size:
        raise CheckpointError(
            f"tensor `vocabulary.rows` must lie in -{size} .. {size - 1}. Got: {beyond[0]}"
        )
    owners = np.bincount(rows[rows >= 0], minlength=size)
    if (owners != 1).any():
        row = int(np.flatnonzero(owners != 1)[0])
        raise CheckpointError(
            f"tensor `vocabulary.rows` must give each row of the drafter to exactly one token. "
            f"Got: row {row} belongs to {owners[row]} tokens"
        )


def check_tokenizer(tokenizer_json: str, vocabulary: Vocabulary) -> None:
    """Checks that the tokenizer makes the ids 0 .. size - 1 and no higher one.

    Raises:
      CheckpointError: it cannot be loaded, or its highest id is another.
    """
    tokenizer = load_tokenizer(tokenizer_json, error=CheckpointError)
    ids = tokenizer.get_vocab(with_added_tokens=True).values()
    size = max(ids, default=-1) + 1
    if size != vocabulary.size:
        raise CheckpointError(
            f"the tokenizer's highest id must be `vocabulary.size` - 1 = {vocabulary.size - 1}. "
            f"Got: {size - 1}"
        )
