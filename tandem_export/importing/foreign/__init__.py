"""Reads tensors under foreign names, with a map of names."""

from tandem_export.importing.foreign.arrays import READERS
from tandem_export.importing.foreign.weights import read_own_pair

__all__ = [
    "READERS",
    "read_own_pair",
]
