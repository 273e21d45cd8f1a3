"""Carries what happens to a request from the worker to whoever reads it, without a lock.

Signals interrupt the main thread between any two operations: had a reader a lock then, the worker
would wait for it for ever. Appending to a list and setting an attribute are single operations, and
each is done before the readers are woken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tandem_export.errors import TandemError
from tandem_export.runtime.request.result import Delta, Result

Wake = Callable[[], object]
Outcome = tuple[Result, ...] | TandemError


class Mailbox:
    """What the worker has said of one request; written by the worker alone.

    Attributes:
      deltas: all so far.
      outcome: the results, or the error that ended the request; None while it is in progress.
    """

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        self.outcome: Outcome | None = None
        self._readers: list[Wake] = []

    def listen(self, wake: Wake) -> None:
        """Calls `wake` after every change, in the worker's thread; look at the state after this."""
        self._readers.append(wake)

    def put(self, deltas: Sequence[Delta], outcome: Outcome | None) -> None:
        """Adds deltas, and ends the request with `outcome` if there is one.

        Raises:
          Exception: whatever a reader raises that cannot be woken; it is not woken again.
        """
        self.deltas.extend(deltas)
        if self.outcome is None:
            self.outcome = outcome
        for wake in tuple(self._readers):
            try:
                wake()
            except BaseException:
                self._readers.remove(wake)
                raise
