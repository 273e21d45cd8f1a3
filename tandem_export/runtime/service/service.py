"""What callers reach: a bounded way in, and the worker's thread."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NoReturn, TypeVar

from tandem_export.errors import ConfigError, QueueFullError, TandemError
from tandem_export.runtime.request.admission import Limits
from tandem_export.runtime.request.stats import EngineStats
from tandem_export.runtime.service.failures import engine_closed
from tandem_export.runtime.service.messages import Cancel, Close, Message, Run, Submit
from tandem_export.runtime.service.observer import Observer
from tandem_export.runtime.service.slots import Drivers
from tandem_export.runtime.service.task import Task
from tandem_export.runtime.service.worker import Worker

Done = TypeVar("Done")
# Seconds that a step may take whose engine nobody has any more; a compiler takes longer.
_LAST_STEP = 5.0


class Service:
    """A worker in a thread of its own, and the line in front of it.

    No lock is held anywhere: what callers and worker share are queues, whose operations no signal
    can interrupt half-way.
    """

    def __init__(
        self, drivers: Drivers, limits: Limits, *, most_waiting: int, prefix_bytes: int
    ) -> None:
        """Starts the thread, which ends with `close` or with this object.

        Args:
          drivers: the executor and its rounds.
          limits: what its graphs can do.
          most_waiting: how many requests may wait for a slot.
          prefix_bytes: for rows of prompts that others may begin with.

        Raises:
          ConfigError: `most_waiting` is less than 1, or `prefix_bytes` is less than 0 or more than
            0 on an executor whose rows cannot be gone on from.
        """
        if most_waiting < 1:
            raise ConfigError(f"`most_waiting` must be at least 1. Got: {most_waiting}")
        if prefix_bytes < 0 or (prefix_bytes and drivers.executor.chunk is None):
            rule = "`prefix_bytes` must be at least 0, and 0 where the rows are in a served model"
            raise ConfigError(f"{rule}. Got: {prefix_bytes}")
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._permits: SimpleQueue[None] = SimpleQueue()
        for _ in range(most_waiting):
            self._permits.put(None)
        self._executor, self._most_waiting, self._closed = drivers.executor, most_waiting, False
        self._worker = Worker(drivers, limits.gammas, self._inbox, self._permits, prefix_bytes)
        # Daemonic, or the interpreter would wait for it before it lets the finalizer end it.
        self._thread = threading.Thread(target=self._worker.run, name="tandem-engine", daemon=True)
        self._thread.start()
        self._finalizer = weakref.finalize(self, _end, self._inbox, self._thread)

    @property
    def stats(self) -> EngineStats:
        """What the worker has done since the last reset."""
        return self._worker.stats

    def reset_stats(self) -> None:
        """Starts `stats` anew."""
        self._worker.stats = EngineStats()

    @property
    def load(self) -> tuple[int, int]:
        """Requests that run, and requests that wait."""
        return self._worker.running, self._most_waiting - self._permits.qsize()

    @property
    def closed(self) -> bool:
        """Whether it lets nobody in any more."""
        return self._closed or not self._thread.is_alive()

    def observe(self, observer: Observer) -> None:
        """Tells `observer` of everything from now on."""
        self._worker.observers.add(observer)

    def submit(self, task: Task) -> None:
        """Puts a request in line.

        Raises:
          QueueFullError: the line is full.
          EngineClosedError: the engine is closed.
        """
        if not self.try_submit(task):
            most = f"at most {self._most_waiting} requests may wait for a slot"
            raise QueueFullError(f"{most}. Got: one more. Send it again later.")

    def try_submit(self, task: Task) -> bool:
        """Submits a request as `submit` does, or returns False where the line is full."""
        if self._closed:
            raise engine_closed()
        try:
            self._permits.get_nowait()
        except Empty:
            return False
        self._post(Submit(task))
        return True

    def cancel(self, task: Task) -> None:
        """Ends a request within a round, with what it has; one that has ended stays as it is."""
        self._post(Cancel(task))

    def run(self, action: Callable[[], Done]) -> Done:
        """Runs `action` in the worker's thread, between two rounds; returns or raises as it does.

        Raises:
          EngineClosedError: the engine is closed.
        """
        answer: SimpleQueue[Callable[[], Done]] = SimpleQueue()

        def answered(refused: TandemError | None) -> None:
            answer.put(_outcome(action) if refused is None else _raising(refused))

        self._post(Run(answered))
        return answer.get()()

    def close(self, *, drain: bool) -> None:
        """Lets nobody in any more; ends or, with `drain`, finishes what is in progress.

        It waits for that and closes the executor, unless the worker's own thread calls it.
        """
        self._closed = True
        self._post(Close(drain))
        if threading.current_thread() is not self._thread:
            self._thread.join()
            self._executor.close()

    def _post(self, message: Message) -> None:
        self._inbox.put(message)
        if self._worker.ended:
            self._worker.refuse(engine_closed())


def _outcome(action: Callable[[], Done]) -> Callable[[], Done]:
    try:
        value = action()
    except Exception as error:
        return _raising(error)
    return lambda: value


def _raising(error: Exception) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail


def _end(inbox: SimpleQueue[Message], thread: threading.Thread) -> None:
    """Ends the thread of a service that nobody has any more, or whose interpreter ends."""
    inbox.put(Close(drain=False))
    if threading.current_thread() is not thread:
        thread.join(_LAST_STEP)
