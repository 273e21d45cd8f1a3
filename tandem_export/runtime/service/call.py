"""Several requests of one caller, heard in the order in which things happen to them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from queue import Empty, SimpleQueue

from tandem_export.runtime.request.result import Delta, Result
from tandem_export.runtime.service.request import results_of
from tandem_export.runtime.service.service import Service
from tandem_export.runtime.service.task import Task

ShouldCancel = Callable[[int], bool]
# Seconds between two looks at what nothing wakes a caller for: room in the line, `should_cancel`.
_PAUSE = 0.02


class Call:
    """Runs tasks until all have ended; those for which the line has no room yet wait here."""

    def __init__(
        self, service: Service, tasks: Sequence[Task], should_cancel: ShouldCancel | None
    ) -> None:
        self._service, self._should_cancel = service, should_cancel
        self._tasks, self._outside = tasks, deque(tasks)
        self._cancelled: set[Task] = set()
        self._news: SimpleQueue[int] = SimpleQueue()
        for number, task in enumerate(tasks):
            # Of numbers, not of this object: a cycle would keep the engine until it is collected.
            task.mailbox.listen(lambda number=number, news=self._news: news.put(number))

    def deltas(self) -> Generator[Delta, None, None]:
        """Yields what happens, until all have ended; closing it cancels those that have not.

        Raises:
          TandemError: what ended the first request that did not end well; the others are cancelled.
        """
        seen = dict.fromkeys(self._tasks, 0)
        left = set(self._tasks)
        try:
            while left:
                self._enter()
                task = self._next(left)
                if task is None:
                    continue
                outcome = task.mailbox.outcome
                deltas = task.mailbox.deltas[seen[task] :]
                seen[task] += len(deltas)
                yield from deltas
                if outcome is not None:
                    results_of(outcome)
                    left.discard(task)
        finally:
            for task in left:
                self._cancel(task)

    def results(self) -> list[Result]:
        """Returns the answers in the order of tasks, then samples; after `deltas` has ended."""
        outcomes = [task.mailbox.outcome for task in self._tasks]
        return [result for outcome in outcomes if outcome for result in results_of(outcome)]

    def _enter(self) -> None:
        """Lets in those that the line has room for."""
        while self._outside:
            task = self._outside.popleft()
            if not self._service.try_submit(task):
                self._outside.appendleft(task)
                return

    def _next(self, left: set[Task]) -> Task | None:
        """Waits for news; returns None where something else is to be looked at first."""
        self._ask(left)
        looks = self._outside or self._should_cancel is not None
        try:
            return self._tasks[self._news.get(timeout=_PAUSE if looks else None)]
        except Empty:
            return None

    def _ask(self, left: set[Task]) -> None:
        if self._should_cancel is None:
            return
        for task in sorted(left - self._cancelled, key=lambda task: task.job.index):
            if self._should_cancel(task.job.index):
                self._cancel(task)

    def _cancel(self, task: Task) -> None:
        self._cancelled.add(task)
        if task in self._outside:
            self._outside.remove(task)
            task.finish("cancelled")
            task.report()
        else:
            self._service.cancel(task)
