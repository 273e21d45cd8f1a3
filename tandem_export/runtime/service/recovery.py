"""Goes on after an executor has failed: rows are built up again from what they have committed.

A delivered token is never taken back: a row's prompt and answer are prefilled, and the row goes on
behind them. Noise depends on a token's place alone, so the tokens that follow are those that would
have come, up to near-ties (P1): a prefill adds in another order than a round.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from tandem_export.errors import TandemError
from tandem_export.runtime.request.answer import Committed
from tandem_export.runtime.request.stats import EngineStats
from tandem_export.runtime.rounds.protocol import RoundRole, finish
from tandem_export.runtime.service.failures import executor_failed
from tandem_export.runtime.service.scheduling import common_kind
from tandem_export.runtime.service.slots import Seat, Slots
from tandem_export.runtime.service.task import Task

_LOG = logging.getLogger("tandem_export.service")
Gammas = Mapping[RoundRole, tuple[int, ...]]


def commit(seat: Seat, part: Committed) -> None:
    """Gives a row's part of a round to its answer; text that cannot be decoded ends the request."""
    try:
        seat.sample.commit(part)
    except TandemError as error:
        seat.task.fail(error)


def recover(
    slots: Slots, seats: Sequence[Seat], gammas: Gammas, error: Exception, stats: EngineStats
) -> list[Task]:
    """Builds up the rows of `seats` again after `error`; returns the requests that this changed.

    Each row runs one round alone: where it fails again, the fault is its request's, which ends; the
    others go on together. An error of this project's own is about the executor, not about a row: it
    ends them all.
    """
    _LOG.warning("the executor failed with %d rows: %r", len(seats), error)
    _evict(slots)
    tasks = list(dict.fromkeys(seat.task for seat in seats))
    if isinstance(error, TandemError):
        for task in tasks:
            task.fail(executor_failed(error, "a round"))
        return tasks
    for seat in seats:
        _try_alone(slots, seat, gammas, stats)
    _restore(slots, seats, stats)
    return tasks


def _evict(slots: Slots) -> None:
    """Frees all slots; one that cannot be freed is idle all the same, and the next row fills it."""
    for seat in slots.seated:
        try:
            slots.release(seat)
        except Exception as error:
            _LOG.warning("a slot could not be freed: %r", error)


def _try_alone(slots: Slots, seat: Seat, gammas: Gammas, stats: EngineStats) -> None:
    kind = common_kind([seat.task.demand], gammas)
    assert kind is not None, "a request was let in that no graph serves"
    if not _goes_on(seat):
        return
    try:
        _seat_again(slots, seat, stats)
        for _, part in slots.round(kind, stats):
            commit(seat, part)
    except Exception as error:
        seat.task.fail(executor_failed(error, "a round"))
    _evict(slots)


def _restore(slots: Slots, seats: Sequence[Seat], stats: EngineStats) -> None:
    """Puts those that go on into slots; one that fails ends, and the others begin once more."""
    for seat in seats:
        try:
            if _goes_on(seat):
                _seat_again(slots, seat, stats)
        except Exception as error:
            seat.task.fail(executor_failed(error, "the prefill"))
            _evict(slots)
            _restore(slots, seats, stats)
            return


def _goes_on(seat: Seat) -> bool:
    return seat.task.error is None and seat.sample.finish_reason is None


def _seat_again(slots: Slots, seat: Seat, stats: EngineStats) -> None:
    slots.insert(seat, finish(slots.prefilling(seat.sample.history, stats)), stats)
