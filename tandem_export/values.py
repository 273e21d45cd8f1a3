"""Checks what a value of an option is, before it is compared with anything."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import cast


def is_whole(value: object, low: int, high: int = 2**31 - 1) -> bool:
    """Returns whether `value` is a whole number, and no boolean, within `low` .. `high`."""
    return isinstance(value, Integral) and not isinstance(value, bool) and low <= int(value) <= high


def is_real(value: object, low: float, high: float) -> bool:
    """Returns whether `value` is a finite number, and no boolean, within `low` .. `high`."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    return math.isfinite(value) and low <= float(value) <= high


def are_words(values: object) -> bool:
    """Returns whether `values` is a tuple of texts."""
    return _is_tuple_of(values, lambda value: isinstance(value, str))


def are_whole(values: object, low: int, high: int = 2**31 - 1) -> bool:
    """Returns whether `values` is a tuple of whole numbers within `low` .. `high`."""
    return _is_tuple_of(values, lambda value: is_whole(value, low, high))


def _is_tuple_of(values: object, is_right: Callable[[object], bool]) -> bool:
    return isinstance(values, tuple) and all(map(is_right, cast("tuple[object, ...]", values)))
