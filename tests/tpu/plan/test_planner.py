"""Buckets, gammas, padding and memory of whole plans."""

from __future__ import annotations

import json
import time

import pytest

from tandem_export.errors import ConfigError
from tandem_export.tpu.chips import SLICES, slice_named
from tandem_export.tpu.plan import DoesNotFitError, PlanOptions, from_rate, plan, read_pair

TWO_B = read_pair("2b")


def test_the_papers_own_point() -> None:
    """Drafter cost 0.14, acceptance 1 - 0.141: gamma 7 and about 2.5x (arXiv 2402.08644)."""
    options = PlanOptions(acceptance=from_rate(0.859), drafter_cost=0.14, batch=(1,))
    best = plan("2b", TWO_B, options).buckets[0].best
    assert best.gamma == 7
    assert 2.4 <= best.speed_up <= 2.6


def test_speculation_that_does_not_pay_is_left_out() -> None:
    buckets = plan("2b", TWO_B, PlanOptions(acceptance=from_rate(0.1))).buckets
    assert {bucket.best.gamma for bucket in buckets} == {0}
    assert all(bucket.widths == (1,) for bucket in buckets)


@pytest.mark.parametrize("storage", ["bfloat16", "int8"])
def test_blocks_stay_bound_by_memory(storage) -> None:
    rows = SLICES["v5e-1"].balance(storage)
    assert rows == {"bfloat16": 240, "int8": 120}[storage]
    made = plan("2b", TWO_B, PlanOptions(storage=storage, acceptance=from_rate(0.95)))
    assert len(made.buckets) > 2
    for bucket in made.buckets:
        assert bucket.batch * (bucket.best.gamma + 1) <= rows
        assert bucket.memory.total <= SLICES["v5e-1"].hbm_bytes


def test_larger_batches_draft_less() -> None:
    made = plan("2b", TWO_B, PlanOptions(acceptance=from_rate(0.859), batch=(1, 8, 40)))
    gammas = [bucket.best.gamma for bucket in made.buckets]
    assert gammas == sorted(gammas, reverse=True) and gammas[0] > gammas[-1]


def test_padding_is_counted() -> None:
    """In a bucket of 4 without a smaller one, 1 to 4 rows leave 3/4, 1/2, 1/4, 0 idle."""
    [bucket] = plan("2b", TWO_B, PlanOptions(batch=(4,))).buckets
    assert bucket.idle_rows == pytest.approx(0.375)
    assert 0 < bucket.waste < bucket.worst_waste < 0.75


def test_less_waste_is_bought_with_more_buckets() -> None:
    few, many = (plan("2b", TWO_B, PlanOptions(max_waste=share)) for share in (0.5, 0.0))
    assert len(few.buckets) < len(many.buckets)
    assert max(b.worst_waste for b in few.buckets) > max(b.worst_waste for b in many.buckets)


def test_what_is_too_large_is_told_what_fits() -> None:
    eight = read_pair("8b")
    with pytest.raises(DoesNotFitError, match=r"no batch at this cache.*int8 weights, or a target"):
        plan("8b", eight, PlanOptions())
    with pytest.raises(DoesNotFitError) as caught:
        plan("8b", eight, PlanOptions(storage="int8", batch=(64,)))
    rows = int(str(caught.value).split("What fits: batch ")[1].split(";")[0])
    assert 1 <= rows < 64
    plan("8b", eight, PlanOptions(storage="int8", batch=(rows,)))


def test_four_chips_hold_the_8b_pair_in_bfloat16() -> None:
    options = PlanOptions(target=slice_named("v5e-4"), batch=(8,))
    [bucket] = plan("8b", read_pair("8b"), options).buckets
    assert bucket.memory.weights < 6e9


def test_planning_is_fast_and_its_json_is_whole() -> None:
    start = time.process_time()
    made = plan("8b", read_pair("8b"), PlanOptions(storage="int8"))
    assert time.process_time() - start < 5
    values = json.loads(json.dumps(made.to_dict()))
    assert values["buckets"][0]["best"]["speed_up"] > 1
    assert "not measured" in values["estimate"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cache": 100}, "`cache` must be a multiple of 128"),
        ({"batch": (2, 1)}, "`batch` must be increasing"),
        ({"batch": (241,)}, "within 1 .. 240"),
        ({"storage": "int4"}, "`storage` must be one of"),
        ({"max_waste": 1.0}, "`max_waste` must be"),
        ({"gamma_max": 0}, "`gamma_max` must be"),
        ({"drafter_cost": 0.0}, "`drafter_cost` must be"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_check_themselves(changes, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        PlanOptions(**changes)


def test_an_unknown_target_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"v5e-8.*Got: 'v4'"):
        slice_named("v4")
