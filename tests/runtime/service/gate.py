"""Executors that a test holds still, or makes fail, at a place of its choice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from tandem_export.runtime import (
    Begun,
    Engine,
    Limits,
    PrefilledRow,
    Prefilling,
    Registers,
    RoundKind,
    RoundResult,
    RowInputs,
)
from tandem_export.runtime.testing import (
    CACHE,
    DRAFTER,
    PRIMARY,
    ToyExecutor,
    ToyModel,
    V,
    toy_tokenizer,
)


class GatedExecutor(ToyExecutor):
    """A toy executor that does as many rounds as it was let, and calls `before` before each act.

    Attributes:
      rounds_left: a semaphore; None lets every round through.
      before: called with what comes next, `prefill` or `round`; what it raises, the executor does.
    """

    def __init__(
        self, batch: int, drafter: ToyModel = DRAFTER, batches: Sequence[int] = ()
    ) -> None:
        super().__init__(batch, PRIMARY, drafter, batches=batches)
        self.rounds_left: threading.Semaphore | None = None
        self.before: Callable[[str, Sequence[int]], None] = lambda _act, _tokens: None

    @property
    def rounds(self) -> GatedExecutor:
        return self

    def prefilling(self, tokens: Sequence[int], begun: Begun | None = None) -> Prefilling:
        self.before("prefill", tokens)
        return (yield from super().prefilling(tokens, begun))

    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        self.before("insert", ())
        super().insert(row, slot, registers)

    def round(self, kind: RoundKind, rows: RowInputs) -> RoundResult:
        if self.rounds_left is not None:
            self.rounds_left.acquire()
        heads = [int(self.caches["primary"][b, 0]) for b, r in enumerate(self.registers) if r]
        self.before("round", heads)
        return super().round(kind, rows)

    def free(self) -> bool:
        """Whether all slots are free."""
        return all(registers is None for registers in self.registers)


def gated_engine(
    batch: int = 2,
    *,
    drafter: ToyModel = DRAFTER,
    most_waiting: int = 64,
    batches: Sequence[int] = (),
) -> tuple[Engine, GatedExecutor]:
    executor = GatedExecutor(batch, drafter, batches)
    limits = Limits(
        batch=batch,
        cache=CACHE,
        vocab_size=V,
        gammas={"round": (0, 3, 5), "round_router": (3, 5)},
        gamma=3,
        tau=0.5,
    )
    return Engine(executor, limits, toy_tokenizer(), most_waiting=most_waiting), executor
