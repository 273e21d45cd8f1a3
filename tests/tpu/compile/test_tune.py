"""Which trial is chosen."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from tandem_export.tpu.chips import slice_named
from tandem_export.tpu.compile import compile_options
from tandem_export.tpu.compile.jobs import Variant
from tandem_export.tpu.compile.report import make_report
from tandem_export.tpu.compile.report_all import plan_forms
from tandem_export.tpu.compile.tune import Trial, choose, try_all
from tandem_export.tpu.plan import PlanOptions, plan, read_pair
from tests.tpu.compile.jobs import tiny_jobs
from tests.tpu.compile.test_report import GOOD, RECORD

CHIP = slice_named("v5e")


def trial(
    name: str, attention: Literal["in_cache", "two_part", "kernel"], vmem: int | None, cycles: int
) -> Trial:
    report = make_report(RECORD, GOOD | {"cycles": cycles, "hbm_bytes": 0}, CHIP)
    form = Variant(attention=attention)
    return Trial(form=form, vmem=vmem, report=dataclasses.replace(report, name=name))


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
    assert [(t.report.name, t.form.attention) for t in chosen] == [
        ("a", "in_cache"),
        ("b", "in_cache"),
    ]


def test_what_has_no_problem_comes_before_what_is_faster() -> None:
    copies = trial("a", "two_part", None, 100)
    copies = dataclasses.replace(copies, report=dataclasses.replace(copies.report, cache_copies=8))
    assert copies.report.problems == ["8 copies of a cache"]
    larger, other = trial("a", "two_part", 32, 900), trial("a", "in_cache", None, 950)
    assert choose([copies, larger, other], CHIP) == [larger]
    assert choose([copies, other], CHIP) == [other]
    assert choose([copies], CHIP) == [copies]


def test_what_does_not_compile_is_never_chosen() -> None:
    answer = {"error": "no", "compile_seconds": 1.0, "cached": False}
    broken = Trial(form=Variant(), vmem=None, report=make_report(RECORD, answer, CHIP))
    works = trial(RECORD.name, "two_part", 64, 10**9)
    assert choose([broken, works], CHIP) == [works]


def test_the_kernel_is_not_chosen_where_there_is_another_form() -> None:
    tried = [trial("a", "kernel", None, 1), trial("a", "two_part", None, 100)]
    assert choose(tried, CHIP) == tried[1:]


def test_the_memory_of_a_bundle_with_kernels_is_tuned() -> None:
    tried = [trial("a", "kernel", None, 1000), trial("a", "kernel", 32, 100)]
    assert choose(tried, CHIP) == tried[1:]


def test_a_padded_drafter_is_chosen_for_all_graphs_or_for_none() -> None:
    rows = Variant(least_rows=2)
    plain = [trial("step", "two_part", None, 300), trial("round", "two_part", None, 100)]
    padded = [dataclasses.replace(t, form=rows) for t in plain]
    assert choose([*plain, *padded], CHIP) == plain  # of equals the first
    padded[0] = dataclasses.replace(padded[0], report=trial("step", "two_part", None, 50).report)
    assert choose([*plain, *padded], CHIP) == padded


def forms_of(target: str, batch: int, **asked: Any) -> list[tuple[str, int]]:
    options = PlanOptions(target=slice_named(target), batch=(batch,))
    made = plan("270m", read_pair("270m"), options)
    return [(form.attention, form.least_rows) for form in plan_forms(made, **asked)]


def test_which_forms_are_tried() -> None:
    every = [("in_cache", 1), ("two_part", 1), ("kernel", 1)]
    padded = [(attention, 2) for attention, _ in every]
    assert forms_of("v5e-1", 4) == [("in_cache", 1)]  # what a build makes
    assert forms_of("v5e-1", 4, tune=True) == every
    assert forms_of("v5e-1", 1, tune=True) == every + padded
    assert forms_of("v5e-4", 4, tune=True) == every[:2]  # no kernel on several chips
    assert forms_of("v5e-1", 1, attention=["kernel"]) == [("kernel", 1)]
    assert forms_of("v5e-1", 1, least_rows=[1, 2]) == [("in_cache", 1), ("in_cache", 2)]


def test_a_graph_that_two_forms_share_is_compiled_once() -> None:
    job = tiny_jobs()["drafter_step_b2_t1"]
    options = compile_options(CHIP, reuse=False)
    seen: list[str] = []
    forms = {Variant(): [job], Variant(least_rows=2): [job]}
    one, other = try_all(forms, options, (None,), lambda done, of, name: seen.append(name))
    assert seen == [job.record.name] and one.report is other.report
    assert (one.form, other.form) == tuple(forms)
