"""Compares a checkpoint's outputs with its owner's reference; `compare` loads jax on use."""

from tandem_export.checkpoint.comparison.npz import load_npz
from tandem_export.checkpoint.comparison.reference import Reference, read_reference

__all__ = [
    "Reference",
    "load_npz",
    "read_reference",
]
