"""The paper's measures of a pair on a text, through any executor."""

from tandem_export.measure.quality.report import Acceptance, AtBlockLength, Evaluation
from tandem_export.measure.quality.run import EvaluateOptions, evaluate
from tandem_export.measure.quality.scores import Means

__all__ = [
    "Acceptance",
    "AtBlockLength",
    "EvaluateOptions",
    "Evaluation",
    "Means",
    "evaluate",
]
