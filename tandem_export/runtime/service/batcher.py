"""Continuous batching: requests are prefilled, join and leave slots between rounds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from tandem_export.runtime.request.answer import Sample
from tandem_export.runtime.request.stats import EngineStats
from tandem_export.runtime.rounds.protocol import PrefilledRow, Prefilling, RoundRole
from tandem_export.runtime.service.failures import deadline_passed, executor_failed
from tandem_export.runtime.service.observer import Observers, RoundSeen
from tandem_export.runtime.service.prefixes import Prefixes
from tandem_export.runtime.service.recovery import commit, recover
from tandem_export.runtime.service.scheduling import (
    chunks_before_round,
    common_kind,
    may_join,
    next_batch,
)
from tandem_export.runtime.service.slots import Drivers, Seat, Slots
from tandem_export.runtime.service.task import Task, Waiting


@dataclass(kw_only=True)
class _Entering:
    """The request that is being prefilled, or whose samples do not all have a slot yet."""

    task: Task
    left: list[Sample]
    chunks: Prefilling | None = None
    row: PrefilledRow | None = None


class Batcher:
    """The requests in progress: those that wait, the one that enters, and those in slots."""

    def __init__(
        self,
        drivers: Drivers,
        gammas: Mapping[RoundRole, tuple[int, ...]],
        permits: SimpleQueue[None],
        observers: Observers,
        prefixes: Prefixes,
    ) -> None:
        """Calls nothing yet; the arguments are those of `Worker`, and whom to tell of rounds."""
        self._prefixes = prefixes
        self._gammas, self._permits, self._observers = gammas, permits, observers
        self._waiting, self._slots = Waiting(), Slots(drivers)
        self._entering: _Entering | None = None
        # Since the last round: prompts' chunks that were run, and rows that wait for the next one.
        self._chunks, self._pace = 0, 0
        self._quiet = 0  # rounds in which a smaller batch would have been enough

    @property
    def idle(self) -> bool:
        """Whether no request is in progress."""
        return self._entering is None and not self._waiting and not self._slots.seated

    @property
    def running(self) -> int:
        """How many requests are in slots or about to be; any thread may ask."""
        seated = {id(seat.task) for seat in self._slots.seated}
        return len(seated) + (self._entering is not None)

    @property
    def tasks(self) -> list[Task]:
        """All requests in progress."""
        entering = [] if self._entering is None else [self._entering.task]
        running = [seat.task for seat in self._slots.seated]
        return list(dict.fromkeys([*running, *entering, *self._waiting]))

    def add(self, task: Task) -> None:
        """Puts a request at the end of the line."""
        self._waiting.add(task)

    def remove(self, task: Task, stats: EngineStats) -> list[Task]:
        """Takes a request out, wherever it is; returns others that this changed."""
        if task in self._waiting:
            self._waiting.remove(task)
            self._permits.put(None)
        if self._entering is not None and self._entering.task is task:
            self._entering = None
        return self._release([seat for seat in self._slots.seated if seat.task is task], stats)

    def _release(self, seats: Sequence[Seat], stats: EngineStats) -> list[Task]:
        """Frees the slots of answers; returns requests that this ended or changed."""
        for seat in seats:
            try:
                self._slots.release(seat)
            except Exception as error:
                return self._recover(self._slots.seated, error, stats)
        return []

    def step(self, stats: EngineStats) -> list[Task]:
        """Does the next thing: one chunk of a prompt, or one round; returns whom it changed."""
        expired = self._expire(stats)
        if expired:
            return expired
        moved = self._fit(stats)
        if moved:
            return moved
        if self._may_enter():
            return self._enter(stats)
        return self._round(stats)

    def _expire(self, stats: EngineStats) -> list[Task]:
        now, late = time.perf_counter(), dict[Task, str]()
        for task in (seat.task for seat in self._slots.seated):
            if task.is_late(now):
                late[task] = f"{task.tokens} tokens of it were there"
        if self._entering is not None and self._entering.task.is_late(now):
            late.setdefault(self._entering.task, "its prompt was in prefill")
        late |= dict.fromkeys(self._waiting.expired(now), "it was waiting for a slot")
        changed = list(late)
        for task, doing in late.items():
            task.fail(deadline_passed(task, doing))
            changed += self.remove(task, stats)
        return list(dict.fromkeys(changed))

    def _fit(self, stats: EngineStats) -> list[Task]:
        """Moves the rows to another batch bucket where the load asks for it."""
        slots, seated = self._slots, self._slots.seated
        if len(slots.batches) == 1:
            return []
        entering = [] if self._entering is None else self._entering.left
        waiting = len(entering) + sum(
            len(task.samples) for task in self._waiting.head(slots.batches[-1])
        )
        batch = next_batch(
            slots.batches, slots.batch, running=len(seated), waiting=waiting, quiet=self._quiet
        )
        if batch != slots.batch:
            self._quiet = 0
            try:
                slots.resize(batch)
            except Exception as error:
                return self._recover(seated, error, stats)
        return []

    def _may_enter(self) -> bool:
        """Returns whether the next thing is to go on with a prompt."""
        if not self._slots.free:
            return False
        if self._entering is None:
            running = [seat.task.demand for seat in self._slots.seated]
            first = self._waiting.first
            if first is None or not may_join(running, first.demand, self._gammas):
                return False
        # Rows that have left since the last round wait for nothing any more.
        running = min(self._pace, len(self._slots.seated))
        return self._chunks < chunks_before_round(running, self._slots.free)

    def _enter(self, stats: EngineStats) -> list[Task]:
        entering = self._entering = self._entering or self._next()
        if entering.row is None:
            self._chunks += 1
            before = stats.prefill_seconds
            try:
                self._go_on(entering, stats)
            except Exception as error:
                entering.task.fail(executor_failed(error, "the prefill"))
                return [entering.task, *self.remove(entering.task, stats)]
            for sample in entering.left:
                sample.stats.prefill_seconds += stats.prefill_seconds - before
        return [] if entering.row is None else self._seat(entering, entering.row, stats)

    def _go_on(self, entering: _Entering, stats: EngineStats) -> None:
        """Runs one chunk of a prompt; after the last one its row is there."""
        prompt = entering.task.job.prompt
        if entering.chunks is None:
            begun = self._prefixes.find(prompt)
            entering.chunks = self._slots.prefilling(prompt, stats, begun)
            for sample in entering.left:
                sample.stats.reused_tokens = 0 if begun is None else begun.count
        try:
            next(entering.chunks)
        except StopIteration as end:
            entering.row, entering.chunks = end.value, None
            self._prefixes.keep(prompt, end.value)

    def _next(self) -> _Entering:
        """Takes the first in line out of it."""
        task = self._waiting.first
        assert task is not None
        self._waiting.remove(task)
        self._permits.put(None)
        now = time.perf_counter()
        for sample in task.samples:
            sample.begin(now)
        return _Entering(task=task, left=list(task.samples))

    def _seat(self, entering: _Entering, row: PrefilledRow, stats: EngineStats) -> list[Task]:
        while self._slots.free and entering.left:
            seat = Seat(task=entering.task, sample=entering.left.pop(0))
            before = self._slots.seated
            try:
                self._slots.insert(seat, row, stats)
            except Exception as error:
                return self._recover([*before, seat], error, stats)
        if not entering.left:
            self._entering = None
        return []

    def _round(self, stats: EngineStats) -> list[Task]:
        seated = self._slots.seated
        assert seated, "requests wait, and nothing can be done for them"
        kind = common_kind([seat.task.demand for seat in seated], self._gammas)
        assert kind is not None, "rows that cannot share a round were let in together"
        smaller = [size for size in self._slots.batches if size < self._slots.batch]
        fits = bool(smaller) and len(seated) <= smaller[-1] and not self._waiting
        self._quiet = self._quiet + 1 if fits else 0
        self._chunks, before = 0, stats.round_seconds
        try:
            parts = self._slots.round(kind, stats)
        except Exception as error:
            return self._recover(seated, error, stats)
        seconds = stats.round_seconds - before
        seen = RoundSeen(kind=kind, batch=self._slots.batch, rows=len(seated), seconds=seconds)
        self._observers.round(seen)
        for seat, part in parts:
            commit(seat, part)
        changed = list(dict.fromkeys(seat.task for seat in seated))
        done = [seat for seat in seated if seat.task.ended or seat.sample.finish_reason is not None]
        changed += self._release(done, stats)
        self._pace = len(self._slots.seated)
        return list(dict.fromkeys(changed))

    def _recover(self, seats: Sequence[Seat], error: Exception, stats: EngineStats) -> list[Task]:
        changed = recover(self._slots, seats, self._gammas, error, stats)
        if self._entering is not None and self._entering.task.ended:
            self._entering = None
        if self._entering is not None:
            self._entering.chunks = None  # other prompts were prefilled in between
        return changed
