"""One exception per way in which an exported graph can disagree with the graph it came from."""

from tandem_export.errors import ExportError


class UnusedParameterError(ExportError):
    """A graph is given a parameter that none of its results depends on."""


class NameMismatchError(ExportError):
    """Arguments or results have other names than the graph states, or are not flat dicts."""


class ShapeMismatchError(ExportError):
    """An argument or a result has another shape than the graph states."""


class DtypeMismatchError(ExportError):
    """An argument or a result has another dtype than the graph states."""


class DonationError(ExportError):
    """A state array is not donated: every step would copy it."""


class SerializationError(ExportError):
    """A graph cannot be serialized, or its bytes cannot be read back."""


class LoweringError(ExportError):
    """A graph uses an operation that has no ONNX form here."""


class ValueMismatchError(ExportError):
    """The exported graph computes other values than the traced function, or NaN."""


class FileSizeError(ExportError):
    """A graph's file is so large that weights must have slipped into it."""


class InvalidModelError(ExportError):
    """The ONNX checker refuses a model that was written."""


class ExternalDataError(ExportError):
    """A weight of an ONNX model does not point at its tensor in the weight store."""


class OperatorError(ExportError):
    """An ONNX model uses an operator that engines were not tried with."""
