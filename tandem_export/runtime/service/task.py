"""A request inside the service, and the queue of those that wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from tandem_export.errors import TandemError
from tandem_export.runtime.request.admission import Job
from tandem_export.runtime.request.answer import Sample
from tandem_export.runtime.request.result import FinishReason
from tandem_export.runtime.service.mailbox import Mailbox, Outcome
from tandem_export.runtime.service.scheduling import Demand, demand_of


class Task:
    """A request, its samples, and where they are reported.

    Attributes:
      job: the request.
      samples: its answers.
      deadline: when it ends at the latest, on the clock of `time.perf_counter`; None without one.
      mailbox: where its reader looks.
      error: what ended it, if it did not end well.
    """

    def __init__(self, job: Job, samples: tuple[Sample, ...], deadline: float | None) -> None:
        self.job, self.samples, self.deadline = job, samples, deadline
        self.mailbox = Mailbox()
        self.error: TandemError | None = None

    @property
    def demand(self) -> Demand:
        """What its rows ask of a round."""
        return demand_of(self.job)

    @property
    def streams(self) -> bool:
        """Whether somebody wants to hear of every round."""
        return self.samples[0].stream

    @property
    def unfinished(self) -> tuple[Sample, ...]:
        """The answers that go on."""
        return tuple(sample for sample in self.samples if sample.finish_reason is None)

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.error is not None or not self.unfinished

    def is_late(self, now: float) -> bool:
        """Returns whether its deadline has passed at `now`."""
        return self.deadline is not None and self.deadline <= now

    @property
    def tokens(self) -> int:
        """How many tokens its answers have."""
        return sum(len(sample.tokens) for sample in self.samples)

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it goes on."""
        if self.error is not None:
            return self.error
        if self.unfinished:
            return None
        return tuple(sample.result() for sample in self.samples)

    def report(self) -> None:
        """Puts what is new into the mailbox.

        Raises:
          Exception: a reader cannot be woken.
        """
        told = self.samples if self.streams and self.error is None else ()
        self.mailbox.put([s.delta() for s in told if s.has_news], self.outcome)

    def finish(self, reason: FinishReason) -> None:
        """Ends all answers that go on."""
        for sample in self.unfinished:
            sample.finish(reason)

    def fail(self, error: TandemError) -> None:
        """Ends the request with an error; what its answers have stays with who received it."""
        if self.error is None:
            self.error = error


class Waiting:
    """Tasks in the order in which they came; the first is prefilled next."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()
        self._earliest = float("inf")

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks)

    @property
    def first(self) -> Task | None:
        """The task that is next; None if nobody waits."""
        return self._tasks[0] if self._tasks else None

    def head(self, count: int) -> list[Task]:
        """Returns the first `count` tasks in line."""
        return list(islice(self._tasks, count))

    def add(self, task: Task) -> None:
        """Puts a task at the end of the line."""
        self._tasks.append(task)
        self._earliest = min(self._earliest, _deadline(task))

    def remove(self, task: Task) -> None:
        """Takes a task out of the line, wherever it stands."""
        self._tasks.remove(task)

    def expired(self, now: float) -> list[Task]:
        """Returns the tasks whose deadline has passed; cheap while none can have."""
        if now < self._earliest:
            return []
        expired = [task for task in self._tasks if _deadline(task) <= now]
        later = [_deadline(task) for task in self._tasks if _deadline(task) > now]
        self._earliest = min(later, default=float("inf"))
        return expired


def _deadline(task: Task) -> float:
    return float("inf") if task.deadline is None else task.deadline
