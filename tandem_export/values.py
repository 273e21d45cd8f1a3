"""What a value of an option may be, before it is compared with anything."""

from __future__ import annotations

import math
from numbers import Integral, Real


def is_whole(value: object, low: int, high: int = 2**31 - 1) -> bool:
    """Whether `value` is a whole number, and no boolean, within `low` .. `high`."""
    return isinstance(value, Integral) and not isinstance(value, bool) and low <= value <= high


def is_real(value: object, low: float, high: float) -> bool:
    """Whether `value` is a finite number, and no boolean, within `low` .. `high`."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and low <= value <= high and math.isfinite(value)


def are_words(values: object) -> bool:
    """Whether `values` is a tuple of texts."""
    return isinstance(values, tuple) and all(isinstance(value, str) for value in values)
