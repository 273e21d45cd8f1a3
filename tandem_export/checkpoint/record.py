"""What a checkpoint is once it is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tandem_export import storage
from tandem_export.config import TandemConfig
from tandem_export.errors import CheckpointError, ConfigError
from tandem_export.jsontypes import JsonObject


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Puts the file's name in front of the errors raised inside, unless it stands there already."""
    try:
        yield
    except (CheckpointError, ConfigError) as error:
        name = f"`{file}`: "
        raise CheckpointError(f"{name}{str(error).removeprefix(name)}") from error


def read_text(path: Path) -> str:
    """Returns the text of a UTF-8 file, newlines as they are (hashes are of bytes).

    Raises:
      CheckpointError: as `storage.read_text`.
    """
    return storage.read_text(path, error=CheckpointError)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The tokens that the tokenizer can make.

    Attributes:
      size: one more than the tokenizer's highest id. The embedding may have more rows (padding).
      end_tokens: ids that end a text, at least one.
      begin_token: id put before a text, or None.

    Raises:
      CheckpointError: no end token, one twice, or an id outside 0 .. size - 1.
    """

    size: int
    end_tokens: tuple[int, ...]
    begin_token: int | None = None

    def __post_init__(self) -> None:
        ends, begin = self.end_tokens, self.begin_token
        if not ends or len(set(ends)) != len(ends):
            raise CheckpointError(
                f"`vocabulary.end_tokens` must hold at least one id, none twice. Got: {list(ends)}"
            )
        for name, ids in (("end_tokens", ends), ("begin_token", () if begin is None else (begin,))):
            bad = [token for token in ids if not 0 <= token < self.size]
            if bad:
                raise CheckpointError(
                    f"`vocabulary.{name}` must lie in 0 .. {self.size - 1}. Got: {bad[0]}"
                )


# Compared by identity: arrays have no single truth value.
@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A checkpoint that agrees with itself.

    Attributes:
      tokenizer_json: the text of `tokenizer.json`.
      params: part (`primary`, `drafter`, `router` if there is one) -> tensor name -> array, float32
        or bfloat16 (`ml_dtypes`), read-only and mapped from the file where it was safetensors.
      provenance: how the weights were made, free JSON.
      source: entry of `files` (`primary`, `drafter`, `router`, `tokenizer`, `chat_template`, or
        `orbax`) -> sha256.
      chat_template: a jinja template that makes a prompt of messages, or None.
    """

    config: TandemConfig
    vocabulary: Vocabulary
    tokenizer_json: str
    params: dict[str, dict[str, np.ndarray]]
    provenance: JsonObject
    source: dict[str, str]
    chat_template: str | None = None
