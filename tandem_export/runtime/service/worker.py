"""The worker: the one thread that calls the executor."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue

from tandem_export.errors import TandemError
from tandem_export.runtime.request.stats import EngineStats
from tandem_export.runtime.rounds.protocol import RoundRole
from tandem_export.runtime.service.batcher import Batcher
from tandem_export.runtime.service.failures import engine_closed, executor_failed
from tandem_export.runtime.service.messages import Cancel, Close, Message, Run, Submit
from tandem_export.runtime.service.observer import Observers
from tandem_export.runtime.service.prefixes import Prefixes
from tandem_export.runtime.service.slots import Drivers
from tandem_export.runtime.service.task import Task

_LOG = logging.getLogger("tandem_export.service")


class Worker:
    """Serves what comes into `inbox` until it is told to close.

    Attributes:
      stats: what it has done; may be replaced at any time.
      observers: told of rounds and of requests that end.
      ended: whether it has stopped looking into its inbox.
    """

    def __init__(
        self,
        drivers: Drivers,
        gammas: Mapping[RoundRole, tuple[int, ...]],
        inbox: SimpleQueue[Message],
        permits: SimpleQueue[None],
        prefix_bytes: int,
    ) -> None:
        """Calls nothing yet.

        Args:
          drivers: the executor and its rounds; they belong to this worker.
          gammas: the gamma buckets of each role.
          inbox: what callers ask for.
          permits: one goes in for each request that stops waiting, so that another may come.
          prefix_bytes: for rows of prompts that others may begin with.
        """
        self.stats, self.ended = EngineStats(), False
        self._counters = drivers.executor.counters
        self._compiled = self._counters.compilations_after_warm_up
        self._inbox = inbox
        self.observers = Observers()
        self._prefixes = Prefixes(most=prefix_bytes, chunk=drivers.executor.chunk or 1)
        self._batcher = Batcher(drivers, gammas, permits, self.observers, self._prefixes)
        self._closing: Close | None = None

    @property
    def running(self) -> int:
        """How many requests are in slots or about to be."""
        return self._batcher.running

    def run(self) -> None:
        """Works until it is closed and nothing is left to do; nobody is left without an answer."""
        error: TandemError = engine_closed()
        try:
            while self._take_messages():
                self._step(self._batcher.step)
        except Exception as bug:
            _LOG.exception("the worker failed")
            error = executor_failed(bug, "the scheduling")
        self.ended = True
        self._prefixes.clear()
        for task in self._batcher.tasks:
            self._end(task, lambda task: task.fail(error))
        self.refuse(error)

    def refuse(self, error: TandemError) -> None:
        """Answers with `error` whatever comes in after the end; any thread may call it."""
        while True:
            try:
                message = self._inbox.get_nowait()
            except Empty:
                return
            match message:
                case Submit(task):
                    task.fail(error)
                    task.report()
                case Run(action):
                    action(error)
                case Cancel() | Close():
                    pass

    def _take_messages(self) -> bool:
        """Handles what has come in; waits for it where there is nothing else to do."""
        while True:
            idle = self._batcher.idle
            if self._closing is not None and (idle or not self._closing.drain):
                return False
            try:
                message = self._inbox.get(block=idle)
            except Empty:
                return True
            match message:
                case Submit(task):
                    self._batcher.add(task)
                case Cancel(task):
                    self._end(task, lambda task: task.finish("cancelled"))
                case Run(action):
                    action(None)
                case Close():
                    self._closing = message

    def _end(self, task: Task, how: Callable[[Task], None]) -> None:
        """Ends a request that is in progress."""

        def end(stats: EngineStats) -> Sequence[Task]:
            how(task)
            return [task, *self._batcher.remove(task, stats)]

        if not task.ended:
            self._step(end)

    def _step(self, step: Callable[[EngineStats], Sequence[Task]]) -> None:
        """Does one step, counts it, then tells the readers of the requests that it changed."""
        begin, stats = time.perf_counter(), self.stats
        changed = step(stats)
        now = self._counters.compilations_after_warm_up
        stats.compilations_after_warm_up += now - self._compiled
        self._compiled = now
        stats.seconds += time.perf_counter() - begin
        for task in changed:
            if task.ended:
                stats.add_request([sample.stats for sample in task.samples])
                self.observers.task(task)
        for task in changed:
            if task.ended or task.streams:
                self._tell(task)

    def _tell(self, task: Task) -> None:
        try:
            task.report()
        except Exception:
            _LOG.warning(
                "a reader of request %s is gone; it is cancelled", task.job.index, exc_info=True
            )
            self._end(task, lambda task: task.finish("cancelled"))
