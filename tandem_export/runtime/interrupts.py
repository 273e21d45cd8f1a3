"""Ctrl-C and SIGTERM between rounds instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

Handler = Callable[[int, FrameType | None], object]
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Keeps signals that come inside its block until `deliver` is called or the block ends.

        with interrupts:
            begin()
            interrupts.deliver()  # here Ctrl-C raises KeyboardInterrupt
            end()

    An exception that a signal's handler raises comes between any two operations: between a cache's
    donation and its replacement, say. A garbage collector's callback, such as jax has, swallows it.
    Handlers are the program's: what this class does is to run them at a moment where nothing is
    half done. A second signal does not wait.

    Signals reach the main thread alone; in other threads, and for signals that the program ignores
    or leaves to the system, the block does nothing.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Handler] = {}
        self._holding = False
        self._waiting: int | None = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._holding = True
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._keep)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            if signal.getsignal(number) == self._keep:
                signal.signal(number, self._handlers[number])
        self._holding = False
        self.deliver()

    def _keep(self, number: int, frame: FrameType | None) -> None:
        if self._holding and self._waiting is None:
            self._waiting = number
        else:
            self._handlers[number](number, frame)

    def deliver(self) -> None:
        """Runs the program's handler of a signal that is waiting; most raise an exception.

        Raises:
          KeyboardInterrupt: Ctrl-C, if the program left its handler as Python sets it.
        """
        number, self._waiting = self._waiting, None
        if number is not None:
            self._handlers[number](number, None)
