"""Pearson's chi-square test of counts against an exact distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

MIN_EXPECTED = 5.0
_TINY, _EPSILON, _MOST_TERMS = 1e-300, 1e-15, 10_000


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

    Outcomes expected fewer than 5 times share one bin; if that is still short it joins the rarest
    of the others.

    Raises:
      ValueError: a count stands where the probability is 0, or fewer than two bins are left.
    """
    if np.any(counts[probabilities == 0] > 0):
        raise ValueError("an outcome of probability 0 came up")
    observed, expected = _pool(counts.astype(np.float64), probabilities * counts.sum())
    if len(expected) < 2:
        raise ValueError(f"fewer than two bins expect {MIN_EXPECTED:g}. Got: {len(expected)}")
    statistic = float(np.sum((observed - expected) ** 2 / expected))
    return GoodnessOfFit(
        statistic=statistic,
        bins=len(expected),
        p_value=survival(statistic, len(expected) - 1),
    )


def _pool(observed: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-expected, kind="stable")
    observed, expected = observed[order], expected[order]
    own = int(np.sum(expected >= MIN_EXPECTED))
    if own and expected[own:].sum() < MIN_EXPECTED:
        own -= 1
    bins = [np.append(values[:own], values[own:].sum()) for values in (observed, expected)]
    return bins[0], bins[1]


def survival(statistic: float, freedom: int) -> float:
    """P(chi-square with `freedom` degrees > statistic): the regularized upper incomplete gamma.

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
