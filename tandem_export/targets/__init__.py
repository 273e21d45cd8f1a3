"""Targets: each writes its form of the graphs into a bundle and checks what it wrote."""

from tandem_export.targets.build import TARGETS, build
from tandem_export.targets.errors import (
    DonationError,
    DtypeMismatchError,
    NameMismatchError,
    SerializationError,
    ShapeMismatchError,
    UnusedParameterError,
    ValueMismatchError,
)
from tandem_export.targets.stablehlo import ExportedGraph, Progress, build_stablehlo, export_graph

__all__ = [
    "TARGETS",
    "DonationError",
    "DtypeMismatchError",
    "ExportedGraph",
    "NameMismatchError",
    "Progress",
    "SerializationError",
    "ShapeMismatchError",
    "UnusedParameterError",
    "ValueMismatchError",
    "build",
    "build_stablehlo",
    "export_graph",
]
