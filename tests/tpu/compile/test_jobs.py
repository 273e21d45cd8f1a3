"""The graphs of a plan."""

from __future__ import annotations

import dataclasses
import re

import pytest
from jax import export

from tandem_export.tpu.chips import slice_named
from tandem_export.tpu.compile.jobs import plan_jobs
from tandem_export.tpu.plan import PlanOptions, plan
from tests.tiny import TANDEM


@pytest.mark.parametrize(("target", "heads"), [("v5e-1", [2, 2]), ("v5e-4", [4])])
def test_a_long_prompt_attends_in_pieces_where_its_chips_need_it(
    target: str, heads: list[int]
) -> None:
    """Scores of 256 tokens, 8 heads and 8192 positions are 64 MiB, on four chips 16 each."""
    primary = dataclasses.replace(TANDEM.primary, num_heads=8, num_kv_heads=4)
    pair = dataclasses.replace(TANDEM, primary=primary)
    made = plan("tiny", pair, PlanOptions(target=slice_named(target), cache=8192, batch=(1,)))
    [prefill] = plan_jobs(made, ("prefill",))
    module = export.deserialize(bytearray(prefill.export)).mlir_module()
    found = re.findall(r"exponential .* tensor<1x(\d)x512x8192xf32>", module)
    assert [int(own) for own in found] == heads
