"""Continuous batching: slots are refilled as rows finish, between rounds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator

from tandem_export.runtime.interrupts import Interrupts
from tandem_export.runtime.request.answer import Sample
from tandem_export.runtime.request.stats import EngineStats
from tandem_export.runtime.rounds.inputs import idle_rows, with_row
from tandem_export.runtime.rounds.protocol import RoundKind, RoundResult, Rounds, Steps

ShouldCancel = Callable[[int], bool]


class Scheduler:
    """Runs samples of one `RoundKind` until all have finished."""

    def __init__(
        self,
        executor: Steps,
        rounds: Rounds,
        kind: RoundKind,
        stats: EngineStats,
        should_cancel: ShouldCancel | None,
        interrupts: Interrupts,
    ) -> None:
        """Takes all slots of `executor`; `interrupts` are let in between two calls of it."""
        self._executor, self._rounds, self._kind = executor, rounds, kind
        self._stats, self._should_cancel, self._interrupts = stats, should_cancel, interrupts
        self._slots: list[Sample | None] = [None] * executor.batch
        self._rows = idle_rows(executor.batch)

    def run(self, samples: list[Sample]) -> Generator[list[Sample], None, None]:
        """Yields the samples that were cancelled, and after every round those that it added to.

        Closing the iterator frees the slots.
        """
        waiting = deque(samples)
        try:
            while waiting or any(self._slots):
                yield self._cancel(waiting)
                self._fill(waiting)
                if any(self._slots):
                    yield self._commit(self._round())
        finally:
            for slot, sample in enumerate(self._slots):
                if sample is not None:
                    self._free(slot)

    def _cancel(self, waiting: deque[Sample]) -> list[Sample]:
        if self._should_cancel is None:
            return []
        running = [sample for sample in self._slots if sample is not None]
        requests = {sample.job.index for sample in (*running, *waiting)}
        gone = {index for index in requests if self._should_cancel(index)}
        cancelled = [sample for sample in (*running, *waiting) if sample.job.index in gone]
        for sample in cancelled:
            sample.finish("cancelled")
            if sample in waiting:
                waiting.remove(sample)
        for slot, sample in enumerate(self._slots):
            if sample in cancelled:
                self._free(slot)
        return cancelled

    def _fill(self, waiting: deque[Sample]) -> None:
        for slot, sample in enumerate(self._slots):
            if sample is None and waiting:
                self._insert(waiting.popleft(), slot)
                self._interrupts.deliver()

    def _insert(self, sample: Sample, slot: int) -> None:
        job = sample.job
        if job.prefilled is None:
            job.started = time.perf_counter()
            job.prefilled = self._executor.prefill(job.prompt)
            job.prefill_seconds = time.perf_counter() - job.started
            self._stats.prefill_seconds += job.prefill_seconds
        start = time.perf_counter()
        self._rounds.insert(job.prefilled, slot, sample.registers)
        self._stats.insert_seconds += time.perf_counter() - start
        job.not_inserted -= 1
        if job.not_inserted == 0:
            job.prefilled = None
        self._rows = with_row(self._rows, slot, sample.row)
        self._slots[slot] = sample

    def _round(self) -> RoundResult:
        start = time.perf_counter()
        result = self._rounds.round(self._kind, self._rows)
        self._stats.round_seconds += time.perf_counter() - start
        self._stats.rounds += self._kind.role != "drafter"
        self._stats.drafter_runs += result.drafter_steps
        return result

    def _commit(self, result: RoundResult) -> list[Sample]:
        count, drafted = result.count.tolist(), result.drafted.tolist()
        tokens, logprob = result.tokens.tolist(), result.logprob.tolist()
        stopped = result.stopped.tolist()
        alone = self._kind.role == "drafter"
        done = [(slot, sample) for slot, sample in enumerate(self._slots) if sample is not None]
        for slot, sample in done:
            n, d = count[slot], drafted[slot]
            sample.count_round(d, n, stopped[slot], 1 if alone else d)
            sample.commit(tokens[slot][:n], logprob[slot][:n])
            if sample.finish_reason is not None:
                self._free(slot)
        return [sample for _, sample in done]

    def _free(self, slot: int) -> None:
        self._rounds.release(slot)
        self._slots[slot] = None
