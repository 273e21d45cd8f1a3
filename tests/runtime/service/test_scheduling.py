"""Cases worked by hand: who shares a round, how many chunks come before it, which batch it has."""

from __future__ import annotations

import pytest

from tandem_export.runtime import RoundKind
from tandem_export.runtime.rounds.protocol import RoundRole
from tandem_export.runtime.service.scheduling import (
    PATIENCE,
    Demand,
    chunks_before_round,
    common_kind,
    may_join,
    next_batch,
)

GAMMAS: dict[RoundRole, tuple[int, ...]] = {"round": (0, 3, 5, 7), "round_router": (3, 5)}


def row(role: RoundRole, gamma: int, room: int = 99) -> Demand:
    return Demand(role=role, gamma=gamma, room=room)


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([row("round", 3)], ("round", 3)),
        ([row("round", 0)], ("round", 0)),
        ([row("round", 0), row("round", 3)], ("round", 3)),
        ([row("round", 3), row("round", 5), row("round", 0)], ("round", 5)),
        ([row("round", 0), row("round_router", 3)], ("round_router", 3)),
        ([row("round", 5), row("round_router", 3)], ("round_router", 5)),
        ([row("round", 7), row("round_router", 3)], None),
        ([row("drafter", 0), row("drafter", 0)], ("drafter", 0)),
        ([row("drafter", 0), row("round", 0)], None),
        ([row("round", 3, room=4), row("round", 3)], ("round", 3)),
        ([row("round", 3, room=4), row("round", 5)], None),
        ([row("round", 3, room=5), row("round", 5)], ("round", 5)),
        # The router has no round 0, so a primary alone without room for 3 cannot join it.
        ([row("round", 0, room=2), row("round_router", 3)], None),
    ],
)
def test_rows_share_the_smallest_graph_that_serves_all(
    rows: list[Demand], kind: tuple[RoundRole, int] | None
) -> None:
    want = None if kind is None else RoundKind(role=kind[0], gamma=kind[1])
    assert common_kind(rows, GAMMAS) == want
    assert may_join(rows[:-1], rows[-1], GAMMAS) == (want is not None)


@pytest.mark.parametrize(
    ("running", "free", "chunks"),
    [(0, 4, float("inf")), (1, 3, 3), (1, 7, 7), (2, 2, 1), (3, 1, 1), (2, 6, 3)],
)
def test_prompts_enter_fast_while_most_slots_are_free(
    running: int, free: int, chunks: float
) -> None:
    assert chunks_before_round(running, free) == chunks


@pytest.mark.parametrize(
    ("batch", "running", "waiting", "quiet", "then"),
    [
        (1, 1, 1, 0, 2),
        (2, 2, 5, 0, 8),
        (2, 2, 1, 0, 8),
        (2, 1, 1, 0, 2),
        (2, 1, 5, 0, 2),  # there is a free slot: it is filled first
        (8, 2, 0, PATIENCE - 1, 8),
        (8, 2, 0, PATIENCE, 2),
        (8, 1, 0, PATIENCE, 1),
        (8, 3, 0, PATIENCE, 8),
        (8, 0, 1, 0, 1),
        (8, 0, 3, 0, 8),
        (1, 0, 9, 0, 8),
        (8, 8, 99, 0, 8),
    ],
)
def test_the_batch_follows_the_load(
    batch: int, running: int, waiting: int, quiet: int, then: int
) -> None:
    assert next_batch((1, 2, 8), batch, running=running, waiting=waiting, quiet=quiet) == then
