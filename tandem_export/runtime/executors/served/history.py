"""What an executor remembers of a row, so that it can be built up again elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tandem_export.runtime.rounds.protocol import PrefilledRow, Registers


@dataclass(frozen=True, eq=False)
class Prompt(PrefilledRow):
    """A prefilled prompt: the tokens that were run, all but the prompt's last."""

    tokens: tuple[int, ...]


class Row:
    """A row's prompt, how it began, and what its rounds committed.

    Attributes:
      prefix: the prompt.
      width: of its rounds; None before the first.
    """

    def __init__(self, prefix: Prompt, first: Registers) -> None:
        self.prefix, self._first = prefix, first
        self._committed: list[int] = []
        self.width: int | None = None

    def commit(self, tokens: Sequence[int], *, width: int) -> None:
        """Takes the tokens of a round of `width`."""
        self._committed += tokens
        self.width = width

    @property
    def history(self) -> tuple[int, ...]:
        """The tokens that the primary has processed: prompt and answer, all but the last."""
        return (*self.prefix.tokens, self._first.last, *self._committed)[: self.now.position]

    @property
    def now(self) -> Registers:
        """Where the row stands."""
        tokens = (self._first.previous, self._first.last, *self._committed)
        count = len(self._committed)
        return Registers(
            position=self._first.position + count,
            last=tokens[-1],
            previous=tokens[-2],
            budget=self._first.budget - count,
        )


def blocks(begin: int, end: int, width: int, cache: int) -> Iterator[int]:
    """Yields where blocks of `width` start that cover `begin .. end - 1` inside the cache."""
    for at in range(begin, end, width):
        yield min(at, cache - width)
