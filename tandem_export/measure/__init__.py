"""What a bundle does, measured: its speed, and how well its drafter guesses."""

from tandem_export.measure.process.startup import Startup, measure_startup
from tandem_export.measure.quality.report import Acceptance, AtBlockLength, Evaluation
from tandem_export.measure.quality.run import EvaluateOptions, evaluate
from tandem_export.measure.quality.scores import Means
from tandem_export.measure.speed.candidates import BenchOptions, Candidate
from tandem_export.measure.speed.report import Comparison, Measurement, Table
from tandem_export.measure.speed.run import bench

__all__ = [
    "Acceptance",
    "AtBlockLength",
    "BenchOptions",
    "Candidate",
    "Comparison",
    "EvaluateOptions",
    "Evaluation",
    "Means",
    "Measurement",
    "Startup",
    "Table",
    "bench",
    "evaluate",
    "measure_startup",
]
