"""What callers ask of the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tandem_export.errors import TandemError
from tandem_export.runtime.service.task import Task


@dataclass(frozen=True)
class Submit:
    """A request comes in."""

    task: Task


@dataclass(frozen=True)
class Cancel:
    """A request is to end with what it has."""

    task: Task


@dataclass(frozen=True)
class Run:
    """Something else that needs the executor.

    `action` gets None when it may run, or the error that says why it never will; it reports to its
    caller itself and raises nothing.
    """

    action: Callable[[TandemError | None], None]


@dataclass(frozen=True)
class Close:
    """No more requests come in; with `drain` those in progress are finished first."""

    drain: bool


Message = Submit | Cancel | Run | Close
