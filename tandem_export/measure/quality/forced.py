"""The logits of both models over given texts, by single steps of any executor.

The primary runs once over a text. What the drafter says at block length g is what it would draft if
the primary had just verified the blocks before: it reads the primary's rows of earlier blocks and
its own rows of the block that it is in.

A step writes the drafter's own row over the primary's. Blocks are therefore run from the last to
the first: no later call reads a row that was overwritten, and the prefix is put back only for the
next block length.

    g = 2, tokens 0 .. 5:  (4 5) (2 3) (0 1)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tandem_export.measure.quality.texts import Text
from tandem_export.runtime import PrefilledRow, Registers, Steps


class ForcedTexts:
    """At most `batch` texts in the slots of an executor, each in its row."""

    def __init__(self, executor: Steps, texts: Sequence[Text], width: int) -> None:
        """Prefills the texts.

        Args:
          executor: all of its slots are used.
          texts: at most as many as it has slots, of at most `cache // width * width` tokens each.
          width: of a `primary_block` graph.
        """
        self._executor, self._width = executor, width
        # Positions that are run: the last token has no successor.
        self.counts = np.zeros(executor.batch, np.int32)
        self.counts[: len(texts)] = [len(text.tokens) - 1 for text in texts]
        self.firsts = np.full(executor.batch, np.iinfo(np.int32).max, np.int32)
        self.firsts[: len(texts)] = [text.first for text in texts]
        self._tokens = np.zeros((executor.batch, int(self.counts.max()) + 1), np.int32)
        for row, text in zip(self._tokens, texts, strict=False):
            row[: len(text.tokens)] = text.tokens
        self._rows: list[PrefilledRow] = [executor.prefill(text.tokens) for text in texts]

    def _insert(self) -> None:
        for slot, row in enumerate(self._rows):
            last = int(self.counts[slot])
            registers = Registers(
                position=last,
                last=int(self._tokens[slot, last]),
                previous=int(self._tokens[slot, last - 1]),
                budget=1,
            )
            self._executor.insert(row, slot, registers)

    def release(self) -> None:
        """Makes the slots idle."""
        for slot in range(len(self._rows)):
            self._executor.release(slot)

    def primary(self) -> np.ndarray:
        """Returns the primary's logits `[B, n, V]`; those past the end of a text are noise."""
        self._insert()
        length, blocks = int(self.counts.max()), []
        for at in range(0, length, self._width):
            block = np.zeros((self._executor.batch, self._width), np.int32)
            part = self._tokens[:, at : min(at + self._width, length)]
            block[:, : part.shape[1]] = part
            start = np.full(self._executor.batch, at, np.int32)
            blocks.append(self._executor.primary_block(block, start).copy())
        return np.concatenate(blocks, 1)[:, :length]

    def drafter(self, block: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (position, drafter's logits `[B, V]`); they are valid until the next step.

        Blocks without a token to count are not run.
        """
        self._insert()
        length = int(self.counts.max())
        for begin in reversed(range(0, length, block)):
            places = range(begin, min(begin + block, length))
            if any(self.counted(place).any() for place in places):
                for place in places:
                    start = np.full(self._executor.batch, place, np.int32)
                    yield place, self._executor.drafter_step(self._tokens[:, [place]], start)

    def counted(self, place: int) -> np.ndarray:
        """Returns which rows `[B]` have, after the position `place`, a token that is counted."""
        return (place < self.counts) & (place + 1 >= self.firsts)

    def labels(self, place: int) -> np.ndarray:
        """Returns the tokens `[B]` that follow the position `place`."""
        return self._tokens[:, place + 1]
