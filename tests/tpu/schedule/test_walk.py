"""The sums of a hand-written schedule, each term worked out."""

from __future__ import annotations

from collections import Counter

import pytest

from tandem_export.tpu.schedule.hlo import parse
from tandem_export.tpu.schedule.walk import walk
from tests.tpu.schedule.sample import TEXT

ROW = 128 * 4
INDEX = 4
# The prefetch of 2 rows, the loop's slice of one row 3 times at an index, the copy and the sum of 8
# rows each read and written, the update's 2 rows at an index.
LEAST = 2 * ROW + 3 * (ROW + INDEX) + 16 * ROW + 16 * ROW + (2 * ROW + INDEX)


def test_bytes_count_slices_updates_and_trips() -> None:
    totals = walk(parse(TEXT), loops=1, branch="least")
    assert totals.bytes == LEAST
    assert totals.prefetched == 2 * ROW
    assert totals.cycles == 3 * 100 + 50


def test_sampled_requests_take_the_dear_branch() -> None:
    totals = walk(parse(TEXT), loops=1, branch="most")
    assert totals.bytes == LEAST + 16 * ROW
    assert totals.cycles == 3 * 100 + 50 + 7000


def test_copies_and_collectives_are_listed() -> None:
    totals = walk(parse(TEXT), loops=1, branch="least")
    # The prefetch goes on chip: no copy within HBM.
    assert totals.copies == Counter({f"32x{8 * ROW}": 1})
    assert totals.collectives == Counter({"all-reduce": 1})
    assert totals.collective_bytes == 8 * ROW


def test_a_loop_of_unknown_length_runs_as_often_as_told() -> None:
    unknown = parse(TEXT.replace("constant(3)", "parameter(1)"))
    totals = walk(unknown, loops=5, branch="least")
    assert totals.unknown_loops == 1
    assert totals.bytes == LEAST + 2 * (ROW + INDEX) and totals.cycles == 5 * 100 + 50


def test_a_loop_that_may_end_early_is_taken_to_run_to_its_end() -> None:
    test = "ROOT %less = pred[] compare(%n.1, %limit), direction=LT"
    both = "%less = pred[] compare(%n.1, %limit), direction=LT\n  %go = pred[] parameter(1)\n"
    early = TEXT.replace(test, f"{both}  ROOT %and = pred[] and(%less, %go)")
    assert early != TEXT
    totals = walk(parse(early), loops=5, branch="least")
    assert totals.unknown_loops == 0 and totals.bytes == LEAST


def test_memory_that_is_only_set_aside_does_not_move() -> None:
    made = "%got = f32[8,128]{1,0} custom-call(), custom_call_target="
    start = "  %copy.1 ="
    bare = TEXT.replace(start, f'  {made}"AllocateBuffer"\n{start}')
    filled = TEXT.replace(start, f'  {made}"Fill"\n{start}')
    assert walk(parse(bare), loops=1, branch="least").bytes == LEAST
    assert walk(parse(filled), loops=1, branch="least").bytes == LEAST + 8 * ROW


@pytest.mark.parametrize("known", [4, 9])
def test_the_compilers_own_count_goes_first(known: int) -> None:
    told = f'body=%body, backend_config={{"known_trip_count":{{"n":"{known}"}}}}'
    totals = walk(parse(TEXT.replace("body=%body", told)), loops=1, branch="least")
    assert totals.bytes == LEAST + (known - 3) * (ROW + INDEX)


def test_a_plain_fusion_reads_all_of_its_operand() -> None:
    whole = TEXT.replace("dynamic-slice(%p0, %p1, %p1)", "reduce(%p0, %p1)")
    assert walk(parse(whole), loops=1, branch="least").bytes == LEAST + 3 * 7 * ROW
