"""Which answers are problems, and the roofline that they are held against."""

from __future__ import annotations

import dataclasses
import math

import pytest

from tandem_export.bundle import TensorSpec
from tandem_export.tpu.chips import slice_named
from tandem_export.tpu.compile.report import make_report
from tandem_export.tpu.compile.roofline import cache_specs, least_bytes
from tests.tpu.compile.jobs import tiny_jobs

CHIP = slice_named("v5e")
RECORD = tiny_jobs()["primary_block_b2_t4"].record
LAYER = min(math.prod(spec.shape) * 2 for spec in cache_specs(RECORD))
GOOD = {
    "argument_bytes": 2**30,
    "alias_bytes": 2**20,
    "temporary_bytes": 0,
    "peak_bytes": 2**30,
    "hbm_bytes": least_bytes(RECORD),
    "hbm_bytes_sampling": 0,
    "cycles": 1500,
    "copies": {"16x4": 2, f"32x{LAYER}": 1},  # logits may be as large as a cache
    "collectives": {},
    "compile_seconds": 1.0,
    "cached": False,
}


def problems(**changes) -> list[str]:
    return make_report(RECORD, GOOD | changes, CHIP).problems


def test_a_good_answer_has_none() -> None:
    assert problems() == []
    assert make_report(RECORD, GOOD, CHIP).over_roofline == 1.0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"copies": {f"16x{LAYER}": 3}}, "3 copies of a cache"),
        ({"alias_bytes": 10}, "the cache is not updated in place"),
        ({"hbm_bytes": int(GOOD["hbm_bytes"] * 1.05)}, "moves 5.0% more than the roofline"),
    ],
    ids=["copy", "alias", "bytes"],
)
def test_each_rule_has_its_problem(changes, text: str) -> None:
    assert problems(**changes) == [text]


def test_what_fits_on_chip_has_no_roofline() -> None:
    assert problems(hbm_bytes=GOOD["hbm_bytes"] * 2, argument_bytes=2**20) == []


def test_time_is_the_slower_of_cycles_and_bytes() -> None:
    assert make_report(RECORD, GOOD | {"hbm_bytes": 819}, CHIP).seconds(CHIP) == 1e-6
    assert make_report(RECORD, GOOD | {"hbm_bytes": 819_000}, CHIP).seconds(CHIP) == 1e-6
    assert make_report(RECORD, GOOD | {"hbm_bytes": 8_190_000}, CHIP).seconds(CHIP) == 1e-5


def test_kernels_add_the_time_of_their_bytes_to_the_cycles() -> None:
    answer = GOOD | {"hbm_bytes": 819_000, "kernel_bytes": 409_500}  # 1 us of cycles, 0.5 of bytes
    seconds = make_report(RECORD, answer, CHIP).seconds(CHIP)
    assert seconds is not None and math.isclose(seconds, 1.5e-6)


def test_the_roofline_of_a_step_by_hand() -> None:
    """Every weight but the projections, the drafter's cache, its new rows, inputs and logits."""
    record = tiny_jobs()["drafter_step_b2_t1"].record
    weights = sum(2 * math.prod(spec.shape) for spec in record.params)
    cache = 2 * 2 * 2 * 128 * 4 * 2  # keys and values, layers, rows, positions, head size, bytes
    ends = 2 * 4 + 2 * 4 + 2 * 17 * 4
    assert least_bytes(record) == weights + cache + cache // 128 + ends


def test_a_chip_moves_its_share_of_what_is_split() -> None:
    """Of logits of 256 bytes 64; of a prefilled row 32 bytes of 128, read once and written once."""
    logits = TensorSpec(name="logits", shape=(4, 16), dtype="float32")
    step = dataclasses.replace(RECORD, outputs=(logits,))
    row = TensorSpec(name="prefix.primary_k.00", shape=(1, 4, 8, 2), dtype="bfloat16")
    insert = dataclasses.replace(RECORD, role="insert", inputs=(row,))
    for record, name, saved in ((step, "logits", 192), (insert, row.name, 2 * 96)):
        whole, own = (
            make_report(record, GOOD, slice_named("v5e-4"), frozenset(split)).roofline_bytes
            for split in ((), (name,))
        )
        assert whole is not None and own is not None and whole - own == saved
