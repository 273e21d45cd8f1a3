"""The executor's slots, and what stands in them; the service calls the executor here alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tandem_export.errors import ConfigError
from tandem_export.runtime.request.answer import Committed, Sample
from tandem_export.runtime.request.stats import EngineStats
from tandem_export.runtime.rounds.from_steps import StepRounds
from tandem_export.runtime.rounds.inputs import idle_rows, in_order, with_row
from tandem_export.runtime.rounds.protocol import (
    Begun,
    PrefilledRow,
    Prefilling,
    RoundKind,
    RoundResult,
    Rounds,
    Steps,
)
from tandem_export.runtime.service.task import Task

DRIVERS = ("fused", "steps")


@dataclass(frozen=True, kw_only=True)
class Drivers:
    """An executor, and what puts rounds together over it.

    Attributes:
      executor: runs the graphs.
      steps: makes rounds of single steps.
      fused: the executor's own rounds; None if it has none, or if they are not to be used.
    """

    executor: Steps
    steps: Rounds
    fused: Rounds | None

    def rounds_of(self, kind: RoundKind) -> Rounds:
        """Returns what runs rounds of `kind`."""
        return self.steps if self.fused is None or kind.role == "drafter" else self.fused

    def warm_up(self, kind: RoundKind) -> None:
        """Compiles what rounds of `kind` need."""
        self.executor.warm_up([kind], steps=self.rounds_of(kind) is self.steps)


def drivers_of(executor: Steps, driver: str, *, independent: bool) -> Drivers:
    """Returns what drives `executor`; the arguments are those of `Engine`.

    Raises:
      ConfigError: an unknown driver.
    """
    if driver not in DRIVERS:
        raise ConfigError(f"`driver` must be one of {DRIVERS}. Got: {driver!r}")
    return Drivers(
        executor=executor,
        steps=StepRounds(executor, independent=independent),
        fused=None if driver == "steps" else executor.rounds,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Seat:
    """An answer in a slot, and the request that it belongs to."""

    task: Task
    sample: Sample


class Slots:
    """Who stands in which slot; `stats` counts the time inside the executor."""

    def __init__(self, drivers: Drivers) -> None:
        self._drivers = drivers
        self._seats: list[Seat | None] = [None] * drivers.executor.batch
        self._rows = idle_rows(drivers.executor.batch)
        self._rounds = drivers.rounds_of(RoundKind(role="round", gamma=0))

    @property
    def seated(self) -> list[Seat]:
        """Those in a slot, by slot."""
        return [seat for seat in self._seats if seat is not None]

    @property
    def free(self) -> int:
        """How many slots are free."""
        return self._seats.count(None)

    @property
    def batch(self) -> int:
        """How many slots there are now."""
        return len(self._seats)

    @property
    def batches(self) -> tuple[int, ...]:
        """How many there may be."""
        return self._drivers.executor.batches

    def resize(self, batch: int) -> None:
        """Moves those in a slot to the first slots of a batch of `batch`."""
        order: list[int | None] = [at for at, seat in enumerate(self._seats) if seat is not None]
        order += [None] * (batch - len(order))
        self._rounds.resize(order)
        self._seats = [None if at is None else self._seats[at] for at in order]
        self._rows = in_order(self._rows, order)

    def prefilling(
        self, tokens: Sequence[int], stats: EngineStats, begun: Begun | None = None
    ) -> Prefilling:
        """Runs a prompt, a chunk each time that it is gone on with; see `Steps.prefilling`."""
        chunks = self._drivers.executor.prefilling(tokens, begun)
        while True:
            begin = time.perf_counter()
            try:
                next(chunks)
            except StopIteration as end:
                return end.value
            finally:
                stats.prefill_seconds += time.perf_counter() - begin
            yield

    def insert(self, seat: Seat, row: PrefilledRow, stats: EngineStats) -> None:
        """Puts an answer into the first free slot; its rows are in `row`."""
        slot = self._seats.index(None)
        begin = time.perf_counter()
        # Rows that share rounds have one driver; another one begins with empty slots.
        self._rounds = self._drivers.rounds_of(seat.sample.job.kind)
        self._rounds.insert(row, slot, seat.sample.registers)
        stats.insert_seconds += time.perf_counter() - begin
        self._rows = with_row(self._rows, slot, seat.sample.row)
        self._seats[slot] = seat

    def release(self, seat: Seat) -> None:
        """Frees an answer's slot, if it is in one."""
        if seat not in self._seats:
            return
        slot = self._seats.index(seat)
        self._seats[slot] = None
        self._rows = with_row(self._rows, slot, None)
        self._rounds.release(slot)

    def round(self, kind: RoundKind, stats: EngineStats) -> list[tuple[Seat, Committed]]:
        """Runs one round of all rows; returns what each committed."""
        begin = time.perf_counter()
        result = self._rounds.round(kind, self._rows)
        stats.round_seconds += time.perf_counter() - begin
        stats.rounds += kind.role != "drafter"
        stats.drafter_runs += result.drafter_steps
        return _parts(kind, result, self._seats)


def _parts(
    kind: RoundKind, result: RoundResult, seats: Sequence[Seat | None]
) -> list[tuple[Seat, Committed]]:
    count, drafted, stopped = (
        result.count.tolist(),
        result.drafted.tolist(),
        result.stopped.tolist(),
    )
    tokens, logprob = result.tokens.tolist(), result.logprob.tolist()
    return [
        (
            seat,
            Committed(
                tokens=tokens[slot][: count[slot]],
                logprobs=logprob[slot][: count[slot]],
                drafted=drafted[slot],
                stopped=bool(stopped[slot]),
                drafter_runs=1 if kind.role == "drafter" else drafted[slot],
            ),
        )
        for slot, seat in enumerate(seats)
        if seat is not None
    ]
