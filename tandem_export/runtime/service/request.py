"""A request in the hands of its caller."""

from __future__ import annotations

import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue

from tandem_export.runtime.request.result import Delta, Result
from tandem_export.runtime.service.mailbox import Outcome, Wake
from tandem_export.runtime.service.service import Service
from tandem_export.runtime.service.task import Task


class Request:
    """One prompt in progress: read it from any thread, as often as needed.

    request = engine.submit("def area(radius):")
    for delta in request:
        print(delta.text, end="")
    print(request.result().finish_reason)
    """

    def __init__(self, service: Service, task: Task) -> None:
        self._service, self._task = service, task

    @property
    def done(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self._task.mailbox.outcome is not None

    def cancel(self) -> None:
        """Ends it within a round; its results are what it has. Nothing happens if it has ended."""
        self._service.cancel(self._task)

    def result(self, timeout: float | None = None) -> Result:
        """Waits for the end and returns the answer; the first one, if there are several samples.

        Raises:
          TimeoutError: `timeout` seconds have passed; the request goes on.
          TandemError: what ended the request.
        """
        return self.results(timeout)[0]

    def results(self, timeout: float | None = None) -> list[Result]:
        """Waits for the end and returns all samples' answers; as `result`."""
        ends = None if timeout is None else time.monotonic() + timeout
        woken: SimpleQueue[None] = SimpleQueue()
        self.when_changed(lambda: woken.put(None))
        while (outcome := self._task.mailbox.outcome) is None:
            try:
                woken.get(timeout=None if ends is None else max(0.0, ends - time.monotonic()))
            except Empty:
                if not self.done:
                    rule = f"the request must end within {timeout} s of this call"
                    hint = "It goes on: wait again, or cancel it"
                    raise TimeoutError(f"{rule}. Got: {self._progress}. {hint}.") from None
        return list(results_of(outcome))

    @property
    def _progress(self) -> str:
        return f"{self._task.tokens} tokens so far"

    def __iter__(self) -> Iterator[Delta]:
        """Yields every delta from the first on, each as soon as it is there; raises as `result`."""
        woken: SimpleQueue[None] = SimpleQueue()
        self.when_changed(lambda: woken.put(None))
        seen = 0
        while True:
            ended = self.done
            deltas, seen = self.deltas(seen)
            yield from deltas
            if ended:
                self.results()
                return
            woken.get()

    def deltas(self, seen: int) -> tuple[list[Delta], int]:
        """Returns the deltas after the first `seen`, and how many there are now; never waits."""
        deltas = self._task.mailbox.deltas[seen:]
        return deltas, seen + len(deltas)

    def when_changed(self, wake: Wake) -> None:
        """Calls `wake` after every change, in the engine's thread: it must return at once."""
        self._task.mailbox.listen(wake)


def results_of(outcome: Outcome) -> tuple[Result, ...]:
    """Returns the results of a request that ended well; raises the error of one that did not."""
    if isinstance(outcome, tuple):
        return outcome
    raise outcome
