"""Pearson's chi-square test of counts against an exact distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tandem_export.errors import ConfigError

MIN_EXPECTED = 5.0
_TINY, _EPSILON, _MOST_TERMS = 1e-300, 1e-15, 10_000


class TooFewBinsError(ConfigError):
    """The distribution is too narrow, or the samples are too few, for a chi-square test."""


@dataclass(frozen=True, kw_only=True)
class GoodnessOfFit:
    """The test's outcome: `bins` after pooling, `freedom` = bins - 1."""

    statistic: float
    bins: int
    p_value: float

    @property
    def freedom(self) -> int:
        """Degrees of freedom."""
        return self.bins - 1


def fit(counts: np.ndarray, probabilities: np.ndarray) -> GoodnessOfFit:
    """Tests `[V]` counts against `[V]` probabilities that sum to 1.

    Outcomes expected fewer than 5 times share bins, likely ones first. A count where the
    probability is 0 has p = 0.

    Raises:
      TooFewBinsError: fewer than two bins come together, and no count is impossible.
    """
    observed, expected = _pool(counts.astype(np.float64), probabilities * counts.sum())
    if np.any(counts[probabilities == 0] > 0):
        return GoodnessOfFit(statistic=math.inf, bins=len(expected), p_value=0.0)
    if len(expected) < 2:
        raise TooFewBinsError(
            f"a chi-square test needs two bins that expect {MIN_EXPECTED:g}; draw more samples, or "
            f"from a wider distribution. Got: {len(expected)} of {counts.sum()} samples"
        )
    statistic = float(np.sum((observed - expected) ** 2 / expected))
    p_value = survival(statistic, len(expected) - 1)
    return GoodnessOfFit(statistic=statistic, bins=len(expected), p_value=p_value)


def _pool(observed: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gathers outcomes until each bin has at least 5 expected.

    expected 50 30 8 4 3 3 2:  50 | 30 | 8 | 4 + 3 | 3 + 2, and 5 is enough
    expected 50 30 8 4 3 3 1:  50 | 30 | 8 | 4 + 3 + 3 + 1, the rest joins the last bin
    """
    order = np.argsort(-expected, kind="stable")
    starts, total = [0], 0.0
    for i, value in enumerate(expected[order]):
        if total >= MIN_EXPECTED:
            starts.append(i)
            total = 0.0
        total += value
    if total < MIN_EXPECTED and len(starts) > 1:
        starts.pop()
    return np.add.reduceat(observed[order], starts), np.add.reduceat(expected[order], starts)


def survival(statistic: float, freedom: int) -> float:
    """Returns P(chi-square with `freedom` degrees > statistic), the upper incomplete gamma.

    Series below a + 1, continued fraction (modified Lentz) above: Numerical Recipes, section 6.2.
    """
    a, x = freedom / 2, statistic / 2
    if x <= 0:
        return 1.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    return 1 - scale * _lower_series(a, x) if x < a + 1 else scale * _upper_fraction(a, x)


def _lower_series(a: float, x: float) -> float:
    term = total = 1 / a
    for n in range(1, _MOST_TERMS):
        term *= x / (a + n)
        total += term
        if term < total * _EPSILON:
            break
    return total


def _upper_fraction(a: float, x: float) -> float:
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / b
    h = d
    for n in range(1, _MOST_TERMS):
        step = n * (a - n)
        b += 2
        d = 1 / _away_from_zero(step * d + b)
        c = _away_from_zero(b + step / c)
        h *= c * d
        if abs(c * d - 1) < _EPSILON:
            break
    return h


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
