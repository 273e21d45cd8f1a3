from __future__ import annotations

import numpy as np
import pytest

from tandem_export.contract import SAMPLING_INPUTS, AcceptanceRule, sampling_inputs


def test_tau_is_an_input_of_rounds_with_a_router_alone() -> None:
    plain, routed = sampling_inputs(router=False), sampling_inputs(router=True)
    assert {row.name for row in routed} - {row.name for row in plain} == {"tau"}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("temperature", (0, 1e6), (-0.1, 2e6, np.nan)),
        ("top_p", (1e-9, 1), (0, 1.1, np.nan)),
        ("min_p", (0, 1), (-1, 1.5)),
        ("rule", (0, 3), (-1, 4)),
        ("tau", (0, 1), (-0.5, 2)),
    ],
)
def test_ranges(name: str, good: tuple[float, ...], bad: tuple[float, ...]) -> None:
    row = SAMPLING_INPUTS[name]
    assert row.allows(np.array(good)).all() and not row.allows(np.array(bad)).any()


@pytest.mark.parametrize("name", SAMPLING_INPUTS)
def test_an_idle_row_holds_an_allowed_value(name: str) -> None:
    row = SAMPLING_INPUTS[name]
    array = row.idle_array(3)
    assert array.shape == row.shape(3) and array.dtype == row.dtype
    assert row.allows(array).all()


def test_the_range_of_rule_is_the_acceptance_rules() -> None:
    assert SAMPLING_INPUTS["rule"].high == max(AcceptanceRule)
