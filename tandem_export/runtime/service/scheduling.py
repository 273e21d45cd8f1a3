"""Decides who runs and how, from plain numbers: nothing here waits, calls or changes anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tandem_export.runtime.request.admission import Job
from tandem_export.runtime.rounds.protocol import RoundKind, RoundRole


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a row asks of the rounds that it takes part in.

    Attributes:
      role, gamma: of the smallest graph that serves it.
      room: the largest gamma of a graph whose blocks still end inside its cache.
    """

    role: RoundRole
    gamma: int
    room: int


def demand_of(job: Job) -> Demand:
    """Returns what the rows of a request ask for."""
    return Demand(role=job.kind.role, gamma=job.kind.gamma, room=job.room)


def common_kind(
    demands: Sequence[Demand], gammas: Mapping[RoundRole, tuple[int, ...]]
) -> RoundKind | None:
    """Returns the smallest graph that serves all rows in one round; None if there is none.

    Modes and gammas differ by inputs of the row, so the largest gamma serves all, and the router's
    round serves rows whose drafts the router does not end: their tau is 0.

        round 3 with room 20, round_router 5   ->  round_router 5
        round 3 with room 4, round 5           ->  None: the first row's cache ends too soon
        drafter, round 3                       ->  None: the drafter alone is driven by the host
    """
    roles = {demand.role for demand in demands}
    if "drafter" in roles:
        return RoundKind(role="drafter", gamma=0) if len(roles) == 1 else None
    role: RoundRole = "round_router" if "round_router" in roles else "round"
    least = max(demand.gamma for demand in demands)
    most = min(demand.room for demand in demands)
    fitting = [gamma for gamma in gammas.get(role, ()) if least <= gamma <= most]
    return RoundKind(role=role, gamma=min(fitting)) if fitting else None


def may_join(
    running: Sequence[Demand], next_one: Demand, gammas: Mapping[RoundRole, tuple[int, ...]]
) -> bool:
    """Returns whether the request that is first in line can share rounds with those that run.

    If not, it waits until enough of them have ended, and so do all behind it: first come, first
    served, so that nobody starves.
    """
    return common_kind([*running, next_one], gammas) is not None


def chunks_before_round(running: int, free: int) -> float:
    """Returns how many chunks of prompts may be prefilled before the next round.

    One, so that running rows keep their pace; more while most slots are free, when a round serves
    few; without limit while nobody runs.
    """
    return max(1, free // running) if running else float("inf")


# Rounds in which a smaller batch would have been enough, before the batch shrinks: a row that ends
# is often followed by another one.
PATIENCE = 16


def next_batch(
    batches: Sequence[int], batch: int, *, running: int, waiting: int, quiet: int
) -> int:
    """Returns the batch bucket for the next round.

    It grows as soon as somebody waits and no slot is free, to the smallest that seats all; it
    shrinks when nobody waits and a smaller one has been enough for `PATIENCE` rounds, or at once
    while nobody runs.

        buckets 1 2 8, batch 1, 1 runs, 1 waits    ->  2
        buckets 1 2 8, batch 2, 2 run, 5 wait      ->  8
        buckets 1 2 8, batch 8, 2 run, quiet 16    ->  2

    Args:
      batches: the buckets, ascending.
      batch: the one in use.
      running: rows in slots.
      waiting: rows that want one.
      quiet: rounds so far in which a smaller one would have been enough.
    """
    wanted = max(1, running + waiting)
    fitting = min((size for size in batches if size >= wanted), default=max(batches))
    if fitting > batch:
        return fitting if running == batch or running == 0 else batch
    return fitting if running == 0 or quiet >= PATIENCE else batch
