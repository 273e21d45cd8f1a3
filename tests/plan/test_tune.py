"""Which trial is chosen."""

from __future__ import annotations

import dataclasses

from tandem_export.plan import target_named
from tandem_export.plan.report import make_report
from tandem_export.plan.tune import Trial, choose
from tests.plan.test_report import GOOD, RECORD

CHIP = target_named("v5e")


def trial(name: str, attention: str, vmem: int | None, cycles: int) -> Trial:
    report = make_report(RECORD, GOOD | {"cycles": cycles, "hbm_bytes": 0}, CHIP)
    return Trial(attention=attention, vmem=vmem, report=dataclasses.replace(report, name=name))


def test_the_smaller_memory_wins_a_tie() -> None:
    tried = [trial("a", "two_part", vmem, c) for vmem, c in ((None, 1010), (32, 1000), (64, 1005))]
    assert [t.vmem for t in choose(tried, CHIP)] == [None]
    tried[0] = trial("a", "two_part", None, 1100)
    assert [t.vmem for t in choose(tried, CHIP)] == [32]


def test_all_graphs_take_the_form_that_is_faster_in_sum() -> None:
    tried = [
        trial("a", "two_part", None, 100),
        trial("b", "two_part", None, 900),
        trial("a", "in_cache", None, 200),
        trial("b", "in_cache", 32, 500),
    ]
    chosen = choose(tried, CHIP)
    assert [(t.report.name, t.attention) for t in chosen] == [("a", "in_cache"), ("b", "in_cache")]


def test_what_does_not_compile_is_never_chosen() -> None:
    answer = {"error": "no", "compile_seconds": 1.0, "cached": False}
    broken = Trial(attention="two_part", vmem=None, report=make_report(RECORD, answer, CHIP))
    works = trial(RECORD.name, "two_part", 64, 10**9)
    assert choose([broken, works], CHIP) == [works]
