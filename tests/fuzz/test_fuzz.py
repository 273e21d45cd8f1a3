"""A fixed budget of cases for every cheap surface, and the driver's own faults."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import table
from tests.fuzz.pool import Limits, run_surface
from tests.fuzz.surfaces import SURFACES

CASES = 200


@pytest.mark.parametrize("name", [name for name, surface in SURFACES.items() if surface.cheap])
def test_no_case_ends_in_anything_but_a_typed_error(name: str) -> None:
    tally = run_surface(name, seed=0, first=0, cases=CASES)
    assert tally.good, table({name: tally})
    assert tally.cases == CASES
    assert tally.typed > CASES // 20 and tally.typed + tally.accepted == CASES


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, surface in SURFACES.items() if not surface.cheap])
def test_nor_does_one_of_the_slower_surfaces(name: str) -> None:
    tally = run_surface(name, seed=0, first=0, cases=30)
    assert tally.good, table({name: tally})


def test_the_driver_counts_what_goes_wrong() -> None:
    # The warm-up took the first, "typed".
    tally = run_surface("broken:every", seed=0, first=1, cases=6)
    assert (tally.accepted, tally.typed, tally.cases) == (3, 0, 6)
    kinds = sorted(name.split(" at ")[0] for name in tally.untyped)
    assert kinds == ["untyped KeyError", "untyped Panic", "untyped an empty text"]
    assert tally.outside == [5]
    assert tally.largest_mb >= 290
    assert not tally.good


@pytest.mark.parametrize(
    ("fault", "kind"), [("crash", "crashes"), ("spin", "hangs"), ("wait", "hangs")]
)
def test_a_worker_that_dies_or_hangs_is_counted_and_replaced(fault: str, kind: str) -> None:
    limits = Limits(processor=0.5, clock=3.0 if fault == "wait" else 600.0)
    tally = run_surface(f"broken:{fault}", seed=0, first=0, cases=4, limits=limits)
    ended = getattr(tally, kind)
    assert tally.cases == 4 and 0 < len(ended) < 4
    assert tally.accepted == 4 - len(ended)
    assert not tally.good and f"broken --case {ended[0]}: {kind}" in table({"broken": tally})
