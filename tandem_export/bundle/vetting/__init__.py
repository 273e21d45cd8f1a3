"""What the graphs of a bundle may do, and checks that they do nothing else.

Reads StableHLO, SavedModel and ONNX from their bytes: no engine is needed, and none runs.
"""

from tandem_export.bundle.vetting.bytecode import Module, read_module
from tandem_export.bundle.vetting.check import check_graph, check_model
from tandem_export.bundle.vetting.reading import Malformed
from tandem_export.bundle.vetting.savedmodel import Model, read_model, signature_of

__all__ = [
    "Malformed",
    "Model",
    "Module",
    "check_graph",
    "check_model",
    "read_model",
    "read_module",
    "signature_of",
]
