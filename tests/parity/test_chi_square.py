from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tandem_export.parity import fit, survival


@pytest.mark.parametrize("freedom", [1, 2, 3, 10, 77, 400])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99, 1.0, 1.01, 1.5, 4.0])
def test_survival_agrees_with_scipy(freedom: int, share: float) -> None:
    statistic = share * freedom
    want = stats.chi2.sf(statistic, freedom)
    assert survival(statistic, freedom) == pytest.approx(want, rel=1e-9, abs=1e-14)


def test_survival_by_hand() -> None:
    """With two degrees of freedom it is exp(-x / 2); nothing is below 0."""
    assert survival(3.0, 2) == pytest.approx(math.exp(-1.5))
    assert survival(0.0, 5) == 1.0


def test_a_worked_case() -> None:
    """Expected 50 30 20, seen 45 30 25: 25/50 + 0 + 25/20 = 1.75."""
    found = fit(np.array([45, 30, 25]), np.array([0.5, 0.3, 0.2]))
    assert (found.statistic, found.bins, found.freedom) == (pytest.approx(1.75), 3, 2)
    assert found.p_value == pytest.approx(math.exp(-1.75 / 2))


@pytest.mark.parametrize(
    ("probabilities", "bins"),
    [([0.5, 0.4, 0.06, 0.04], 3), ([0.5, 0.44, 0.03, 0.03], 3), ([0.5, 0.48, 0.01, 0.01], 2)],
    ids=["a-rare-one-joins-the-rarest", "rare-ones-share-a-bin", "too-rare-join-the-last"],
)
def test_rare_outcomes_are_pooled(probabilities: list[float], bins: int) -> None:
    assert fit(np.array([50, 40, 6, 4]), np.array(probabilities)).bins == bins


def test_what_cannot_be_tested_is_an_error() -> None:
    with pytest.raises(ValueError, match="fewer than two bins"):
        fit(np.array([100, 0]), np.array([0.99, 0.01]))
    with pytest.raises(ValueError, match="probability 0"):
        fit(np.array([99, 1]), np.array([1.0, 0.0]))


def test_draws_of_the_distribution_pass_and_others_fail() -> None:
    rng, p = np.random.default_rng(0), np.array([0.4, 0.3, 0.2, 0.1])
    assert fit(rng.multinomial(4000, p), p).p_value > 1e-3
    assert fit(rng.multinomial(4000, [0.35, 0.35, 0.2, 0.1]), p).p_value < 1e-6
