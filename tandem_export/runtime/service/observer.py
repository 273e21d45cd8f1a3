"""What a program may watch: rounds, and requests that end; metrics and traces are made of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from tandem_export.errors import DeadlineError, EngineClosedError
from tandem_export.runtime.request.result import FinishReason
from tandem_export.runtime.request.stats import RequestStats
from tandem_export.runtime.rounds.protocol import RoundKind
from tandem_export.runtime.service.task import Task

_LOG = logging.getLogger("tandem_export.service")

EndReason = FinishReason | Literal["deadline", "closed", "error"]


@dataclass(frozen=True, kw_only=True)
class RoundSeen:
    """One round.

    Attributes:
      kind: which graph ran.
      batch: slots.
      rows: slots in use.
      seconds: inside the executor.
    """

    kind: RoundKind
    batch: int
    rows: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AnswerSeen:
    """One answer that has ended.

    Attributes:
      reason: why.
      stats: its own; they change no more.
    """

    reason: EndReason
    stats: RequestStats


class Observer(Protocol):
    """Called in the engine's thread between two rounds: it must return at once."""

    def on_round(self, seen: RoundSeen) -> None:
        """Hears of a round."""
        ...

    def on_answer(self, seen: AnswerSeen) -> None:
        """Hears of an answer's end."""
        ...


class Observers:
    """Those that watch an engine; one that raises is told nothing more."""

    def __init__(self) -> None:
        self._observers: tuple[Observer, ...] = ()

    def add(self, observer: Observer) -> None:
        """Tells `observer` of everything from now on."""
        self._observers = (*self._observers, observer)

    def round(self, seen: RoundSeen) -> None:
        """Tells of a round."""
        self._tell(lambda observer: observer.on_round(seen))

    def task(self, task: Task) -> None:
        """Tells of all answers of a request that has ended."""
        for sample in task.samples:
            reason = _reason(task) if task.error is not None else sample.finish_reason
            if reason is not None:
                seen = AnswerSeen(reason=reason, stats=sample.stats)
                self._tell(lambda observer, seen=seen: observer.on_answer(seen))

    def _tell(self, event: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            try:
                event(observer)
            except Exception:
                _LOG.exception("an observer failed; it is told nothing more")
                self._observers = tuple(other for other in self._observers if other is not observer)


def _reason(task: Task) -> EndReason:
    if isinstance(task.error, DeadlineError):
        return "deadline"
    return "closed" if isinstance(task.error, EngineClosedError) else "error"
