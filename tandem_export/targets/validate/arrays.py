"""Compares what an export takes and gives with its graph: names, then shapes, then dtypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tandem_export.graphs import Shapes
from tandem_export.targets.errors import (
    DtypeMismatchError,
    NameMismatchError,
    ShapeMismatchError,
)

# Of numpy, of jax, or a shape with a dtype: they have no type in common.
Array = Any
Arrays = Mapping[str, Array]


class Described(NamedTuple):
    """An array as an export describes it: its sizes, and its dtype by numpy's name."""

    shape: tuple[Any, ...]
    dtype: str


def described(leaves: Arrays) -> dict[str, Described]:
    """Describes what has `shape` and `dtype`, by name."""
    return {n: Described(tuple(leaf.shape), str(leaf.dtype)) for n, leaf in leaves.items()}


def check_arrays(graph: str, part: str, got: Mapping[str, Described], want: Shapes) -> None:
    """Checks one part of an export's signature, such as `inputs`.

    Args:
      graph: its name, for the error.
      part: what the arrays are, for the error.
      got: what was read back from the export.
      want: the graph's.

    Raises:
      NameMismatchError, ShapeMismatchError, DtypeMismatchError: the first difference.
    """
    if set(got) != set(want):
        raise NameMismatchError(f"{graph}: {part} must be {sorted(want)}. Got: {sorted(got)}")
    for name, leaf in described(want).items():
        where, array = f"{graph}: {part} {name!r}", got[name]
        if array.shape != leaf.shape:
            raise ShapeMismatchError(f"{where} must have shape {leaf.shape}. Got: {array.shape}")
        if array.dtype != leaf.dtype:
            raise DtypeMismatchError(f"{where} must have dtype {leaf.dtype}. Got: {array.dtype}")
