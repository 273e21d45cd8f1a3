"""How long operations tell their caller how far they are."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called when a step of a long operation begins or ends.

    The last call has `done` equal to `total`, unless the operation fails. What it raises ends the
    operation.
    """

    def __call__(self, done: int, total: int, what: str, /) -> None:
        """Tells that `done` of `total` steps are finished; `what` names the one that is at hand."""
        ...


def silent(done: int, total: int, what: str, /) -> None:
    """Tells nobody."""
    del done, total, what
