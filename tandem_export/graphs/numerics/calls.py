"""Gives types to jax's functions that take functions."""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import jax

R = TypeVar("R")


def cond(
    condition: jax.Array, then: Callable[..., R], otherwise: Callable[..., R], *operands: object
) -> R:
    """Returns the result of `then` where the scalar `condition` holds, else of `otherwise`."""
    return cast("R", jax.lax.cond(condition, then, otherwise, *operands))


def switch(index: jax.Array, branches: Sequence[Callable[..., R]], *operands: object) -> R:
    """Returns the result of branch number `index`."""
    return cast("R", jax.lax.switch(index, branches, *operands))
