"""The paper's table, of figures that were worked out by hand."""

from __future__ import annotations

import dataclasses

from tandem_export.measure import Candidate
from tandem_export.measure.speed.candidates import Family
from tandem_export.measure.speed.paper import Best, paper_rows
from tandem_export.measure.speed.report import Table, table
from tandem_export.runtime import SamplingParams
from tests.measure.speed.test_report import turn

# (family, gamma, tau, seconds for 100 tokens)
RUN: tuple[tuple[Family, int | None, float | None, float], ...] = (
    ("primary", None, None, 10.0),
    ("primary", 3, None, 12.0),
    ("speed", 3, None, 5.0),
    ("speed", 5, None, 4.0),
    ("router", 5, 0.3, 3.0),
    ("router", 5, 0.7, 3.2),
    ("standalone", 5, None, 1.0),
    ("baseline", 1, None, 8.0),
    ("baseline", 3, None, 6.25),
)


def measured(batch: int, *families: Family) -> Table:
    rows = [row for row in RUN if row[0] in ("primary", *families)]
    own = [
        Candidate(name="", family=f, params=SamplingParams(gamma=g, tau=t)) for f, g, t, _ in rows
    ]
    return table(batch, own, [[turn(seconds)] for *_, seconds in rows])


def test_the_best_of_each_kind_and_what_it_gains() -> None:
    one, four = paper_rows(
        [measured(1, "speed", "router", "baseline", "standalone"), measured(4, "speed")]
    )
    # 10 tokens per second alone; the best are 25, 33.3 and 16.
    assert one.num_samples == 1
    speed = Best(gamma=5, tau=None, speed_up=2.5, primary_runs=80.0, drafter_runs=60.0)
    assert one.speed == speed
    assert one.baseline == dataclasses.replace(speed, gamma=3, speed_up=1.6, primary_runs=125.0)
    assert one.gain == 2.5 / 1.6
    assert one.router is not None and (one.router.gamma, one.router.tau) == (5, 0.3)
    assert one.router.primary_runs == 60.0
    assert one.router_gain == one.router.speed_up / 2.5
    assert four.num_samples == 4 and four.speed == speed
    assert four.baseline is four.gain is four.router is four.router_gain is None


def test_without_speed_there_is_no_row() -> None:
    assert paper_rows([measured(1, "standalone", "baseline")]) == ()
