from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tandem_export.errors import ConfigError
from tandem_export.parity import fit, survival
from tandem_export.parity.chi_square import TooFewBinsError


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
    ("expected", "bins"),
    [
        ([50, 30, 8, 4, 3, 3, 2], [50, 30, 8, 7, 5]),
        ([50, 31, 8, 4, 3, 3, 1], [50, 31, 8, 11]),
        ([1, 99], [100]),
        ([4] * 25, [8] * 11 + [12]),
    ],
    ids=["rare-ones-share", "the-rest-joins-the-last", "one-bin", "all-rare"],
)
def test_rare_outcomes_are_pooled(expected: list[int], bins: list[int]) -> None:
    probabilities = np.array(expected) / 100
    if len(bins) < 2:
        with pytest.raises(ConfigError, match=r"draw more samples.*Got: 1 of 100 samples"):
            fit(np.array(expected), probabilities)
        return
    assert fit(np.array(expected), probabilities).bins == len(bins)
    # One more in each bin: the sum of 1 / expected, which tells the bins apart.
    ends = np.searchsorted(np.cumsum(expected), np.cumsum(bins))
    found = fit(np.array(expected) + np.isin(np.arange(len(expected)), ends), probabilities)
    scale = 1 + len(bins) / 100
    want = sum((b + 1 - b * scale) ** 2 / (b * scale) for b in bins)
    assert found.statistic == pytest.approx(want)


def test_an_impossible_outcome_has_p_0() -> None:
    assert fit(np.array([50, 49, 1]), np.array([0.5, 0.5, 0.0])).p_value == 0


def test_draws_of_the_distribution_pass_and_others_fail() -> None:
    rng, p = np.random.default_rng(0), np.array([0.4, 0.3, 0.2, 0.1])
    assert fit(rng.multinomial(4000, p), p).p_value > 1e-3
    assert fit(rng.multinomial(4000, [0.35, 0.35, 0.2, 0.1]), p).p_value < 1e-6


def test_an_impossible_outcome_fails_however_narrow_the_distribution_is() -> None:
    assert fit(np.array([99, 1]), np.array([1.0, 0.0])).p_value == 0.0
    with pytest.raises(TooFewBinsError, match=r"Got: 1 of 100 samples"):
        fit(np.array([100, 0]), np.array([1.0, 0.0]))
