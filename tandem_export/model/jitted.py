"""Gives jitted functions their types."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import jax

P = ParamSpec("P")
R = TypeVar("R")


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Returns the function jitted: a graph holds it once, and calls it."""
    return jit_static()(function)


def jit_static(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Returns `jit` for functions whose arguments `names` are static."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return cast("Callable[P, R]", jax.jit(function, static_argnames=names))

    return decorate
