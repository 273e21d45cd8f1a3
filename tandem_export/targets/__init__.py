"""Targets: each writes its form of the graphs into a bundle and checks what it wrote."""

from tandem_export.targets.build import build
from tandem_export.targets.context import BuildContext
from tandem_export.targets.errors import (
    DonationError,
    DtypeMismatchError,
    ExternalDataError,
    FileSizeError,
    InvalidModelError,
    LoweringError,
    NameMismatchError,
    OperatorError,
    SerializationError,
    ShapeMismatchError,
    UnusedParameterError,
    ValueMismatchError,
)
from tandem_export.targets.onnx import build_onnx
from tandem_export.targets.registry import TARGETS, Target
from tandem_export.targets.savedmodel import SavedModelOptions, build_savedmodel
from tandem_export.targets.stablehlo.build import (
    ExportedGraph,
    build_stablehlo,
    export_graph,
)

__all__ = [
    "TARGETS",
    "BuildContext",
    "DonationError",
    "DtypeMismatchError",
    "ExportedGraph",
    "ExternalDataError",
    "FileSizeError",
    "InvalidModelError",
    "LoweringError",
    "NameMismatchError",
    "OperatorError",
    "SavedModelOptions",
    "SerializationError",
    "ShapeMismatchError",
    "Target",
    "UnusedParameterError",
    "ValueMismatchError",
    "build",
    "build_onnx",
    "build_savedmodel",
    "build_stablehlo",
    "export_graph",
]
