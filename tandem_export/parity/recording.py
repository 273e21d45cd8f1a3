"""Records the primary's logits of what single steps commit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tandem_export.runtime import (
    Begun,
    PrefilledRow,
    Prefilling,
    Registers,
    RoundKind,
    RoundResult,
    Rounds,
    RowInputs,
    Steps,
)


class Recorder:
    """Stands in front of an executor and records; what it does not record goes straight through.

    A block is known to have committed as many tokens as the next one starts later:

        start 5, logits of places 6 7 8 9     next start 7: places 6 and 7 were committed

    Requests are told apart by the order in which they are inserted.
    """

    def __init__(self, executor: Steps) -> None:
        self._executor = executor
        self.batches = executor.batches
        self.cache, self.chunk, self.counters = executor.cache, executor.chunk, executor.counters
        self._occupant: dict[int, int] = {}
        self._blocks: list[list[np.ndarray]] = []
        self._starts: list[int] = []

    @property
    def batch(self) -> int:
        """See `Steps`."""
        return self._executor.batch

    @property
    def rounds(self) -> Rounds | None:
        """See `Steps.rounds`; inserts and releases are recorded."""
        return None if self._executor.rounds is None else self

    def warm_up(self, kinds: Sequence[RoundKind], *, steps: bool) -> None:
        """See `Steps.warm_up`."""
        self._executor.warm_up(kinds, steps=steps)

    def prefill(self, tokens: Sequence[int]) -> PrefilledRow:
        """See `Steps.prefill`."""
        return self._executor.prefill(tokens)

    def prefilling(self, tokens: Sequence[int], begun: Begun | None = None) -> Prefilling:
        """See `Steps.prefilling`."""
        return self._executor.prefilling(tokens, begun)

    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        """See `Rounds.insert`; a new request begins."""
        self._executor.insert(row, slot, registers)
        self._occupant[slot] = len(self._blocks)
        self._blocks.append([])
        self._starts.append(registers.position)

    def round(self, kind: RoundKind, rows: RowInputs) -> RoundResult:
        """See `Rounds.round`."""
        assert self._executor.rounds is not None
        return self._executor.rounds.round(kind, rows)

    def release(self, slot: int) -> None:
        """See `Rounds.release`."""
        self._executor.release(slot)
        self._occupant.pop(slot, None)

    def drafter_step(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        """See `Steps.drafter_step`."""
        return self._executor.drafter_step(tokens, start)

    def router(self, logits: np.ndarray) -> np.ndarray:
        """See `Steps.router`."""
        return self._executor.router(logits)

    def resize(self, order: Sequence[int | None]) -> None:
        """See `Steps.resize`; the requests move with their rows."""
        self._executor.resize(order)
        moved = {slot: before for slot, before in enumerate(order) if before in self._occupant}
        self._occupant = {slot: self._occupant[before] for slot, before in moved.items()}

    def close(self) -> None:
        """See `Steps.close`."""
        self._executor.close()

    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        """See `Steps.primary_block`; the logits of every occupied slot are kept."""
        logits = self._executor.primary_block(tokens, start)
        for slot, request in self._occupant.items():
            self._keep(request, int(start[slot]), logits[slot])
        return logits

    def _keep(self, request: int, start: int, logits: np.ndarray) -> None:
        blocks = self._blocks[request]
        if blocks:
            blocks[-1] = blocks[-1][: start - self._starts[request]].copy()
        blocks.append(logits.copy())
        self._starts[request] = start

    def take(self) -> list[np.ndarray]:
        """Returns logits `[n, V]` float32 per request, in order, since the last call.

        The last block is whole: n may be more than the tokens that were committed.
        """
        taken = [np.concatenate(blocks) if blocks else np.zeros(0) for blocks in self._blocks]
        self._blocks, self._starts = [], []
        return taken
