from __future__ import annotations

import numpy as np
import pytest

from tandem_export.runtime import choose, log_softmax, processed_log_probs

P = np.array([0.5, 0.2, 0.2, 0.1], np.float32)  # a tie on ids 1 and 2


def processed(**options: float) -> list[float]:
    log_p = processed_log_probs(np.log(P), **({"temperature": 1.0} | options))  # type: ignore[arg-type]
    assert log_p.dtype == np.float32
    return np.exp(log_p).round(5).tolist()


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({}, [0.5, 0.2, 0.2, 0.1]),
        ({"temperature": 0.5}, [0.73529, 0.11765, 0.11765, 0.02941]),
        ({"temperature": 0.0}, [1, 0, 0, 0]),
        ({"top_k": 1}, [1, 0, 0, 0]),
        ({"top_k": 2}, [0.55556, 0.22222, 0.22222, 0]),
        ({"top_k": 9}, [0.5, 0.2, 0.2, 0.1]),
        ({"top_p": 0.5}, [1, 0, 0, 0]),
        ({"top_p": 0.6}, [0.55556, 0.22222, 0.22222, 0]),
        ({"top_p": 0.95}, [0.5, 0.2, 0.2, 0.1]),
        ({"top_p": 1e-9}, [1, 0, 0, 0]),
        ({"min_p": 0.3}, [0.55556, 0.22222, 0.22222, 0]),
        ({"min_p": 1.0}, [1, 0, 0, 0]),
        # Of p = [5/9, 2/9, 2/9] the second has 5/9 before it, so top_p is over what top-k kept.
        ({"top_k": 2, "top_p": 0.56}, [0.55556, 0.22222, 0.22222, 0]),
        ({"top_k": 2, "top_p": 0.52}, [1, 0, 0, 0]),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_processing_by_hand(options: dict[str, float], want: list[float]) -> None:
    assert processed(**options) == pytest.approx(want, abs=2e-5)


def test_greedy_takes_the_lowest_id_of_a_tie() -> None:
    log_p = processed_log_probs(np.array([1.0, 3.0, 3.0]), temperature=0)
    assert log_p.tolist() == [-np.inf, 0.0, -np.inf]


def test_choose_never_takes_what_was_filtered_out() -> None:
    log_p = np.array([-np.inf, -5.0], np.float32)
    assert choose(log_p, np.array([16.6, -2.0], np.float32)) == 1


def test_log_softmax_is_stable() -> None:
    assert log_softmax(np.array([1e4, 1e4])).tolist() == pytest.approx([np.log(0.5)] * 2)
