from __future__ import annotations

import numpy as np
import pytest

from tandem_export.parity.trace import Divergence, Trace, differences


def trace(tokens: list[int], values: list) -> Trace:
    return Trace(tokens=tuple(tokens), values=np.array(values, np.float32))


LOGITS = [[0.0, 1.0, 0.5], [2.0, 0.0, 1.75]]
REFERENCE = trace([1, 0], LOGITS)


def test_equal_runs_have_no_difference() -> None:
    assert differences([REFERENCE], [trace([1, 0], LOGITS)], "case", values=True) == []


def test_another_token_is_shown_with_the_margin_of_the_reference() -> None:
    [found] = differences(
        [REFERENCE, REFERENCE], [REFERENCE, trace([1, 2], LOGITS)], "c", values=True
    )
    want = Divergence(case="c", prompt=1, place=1, expected=0, got=2, margin=0.25)
    assert found == want


@pytest.mark.parametrize("other", [np.nextafter(np.float32(0.5), np.float32(1)), -0.0])
def test_one_bit_of_a_value_is_a_difference(other: float) -> None:
    reference = trace([1], [[0.0, 1.0, 0.5]]) if other else trace([1], [[0.0, 1.0, 0.0]])
    own = trace([1], [[0.0, 1.0, other]])
    [found] = differences([reference], [own], "c", values=True)
    assert (found.place, found.expected, found.got) == (0, 1, 1)
    assert found.difference is not None and found.difference < 1e-6
    assert differences([reference], [own], "c", values=False) == []


def test_log_probabilities_give_no_margin() -> None:
    [found] = differences([trace([1], [-0.5])], [trace([2], [-0.5])], "c", values=True)
    assert found.margin is None
