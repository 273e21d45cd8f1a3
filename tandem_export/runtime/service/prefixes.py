"""Keeps the rows of prompts, so that another prompt with the same beginning goes on from them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from tandem_export.runtime.rounds.protocol import Begun, PrefilledRow

Tokens = tuple[int, ...]


class Prefixes:
    """Rows by the tokens of their whole chunks; the least recently used goes first.

    A prompt begins with the chunks that it shares with a kept row. Chunks before the last ones are
    as wide as the widest, whatever comes behind them: those that are left out are the very calls
    that a fresh prefill would make, so the row is the same, bit for bit, in both models' caches.

    Attributes:
      nbytes: what the kept rows hold, at most `most`.
    """

    def __init__(self, *, most: int, chunk: int) -> None:
        """Keeps nothing yet.

        Args:
          most: bytes that may be kept; 0 keeps nothing.
          chunk: the executor's `chunk`.
        """
        self.nbytes = 0
        self._most, self._chunk = most, chunk
        self._rows: OrderedDict[Tokens, PrefilledRow] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, prompt: Sequence[int]) -> Begun | None:
        """Returns the kept row that shares most whole chunks with `prompt`; None if none does."""
        wanted = self._whole(prompt)
        shared = {key: self._shared(wanted, key) for key in self._rows}
        best = max(shared, key=lambda key: shared[key], default=())
        if not shared.get(best):
            return None
        self._rows.move_to_end(best)
        return Begun(row=self._rows[best], count=shared[best])

    def keep(self, prompt: Sequence[int], row: PrefilledRow) -> None:
        """Keeps the row of a prompt, unless a kept one has all its whole chunks.

        A row that holds no memory here cannot be gone on from.
        """
        key = self._whole(prompt)
        if not key or not 0 < row.nbytes <= self._most:
            return
        for other in [*self._rows]:
            shared = self._shared(key, other)
            if shared == len(key):
                self._rows.move_to_end(other)
                return
            if shared == len(other):
                self._drop(other)
        self._rows[key] = row
        self.nbytes += row.nbytes
        while self.nbytes > self._most:
            self._drop(next(iter(self._rows)))

    def clear(self) -> None:
        """Keeps nothing any more."""
        self._rows.clear()
        self.nbytes = 0

    def _drop(self, key: Tokens) -> None:
        self.nbytes -= self._rows.pop(key).nbytes

    def _whole(self, prompt: Sequence[int]) -> Tokens:
        """Returns the tokens of the prompt's full chunks; its last token is in none."""
        return tuple(prompt[: (len(prompt) - 1) // self._chunk * self._chunk])

    def _shared(self, one: Tokens, other: Tokens) -> int:
        """Returns how many tokens both begin with, in full chunks."""
        most, at = min(len(one), len(other)), 0
        while at < most and one[at : at + self._chunk] == other[at : at + self._chunk]:
            at += self._chunk
        return at
