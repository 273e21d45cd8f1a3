"""Compares SPEED with the primary alone in alternating runs."""

from tandem_export.measure.speed.candidates import BenchOptions, Candidate
from tandem_export.measure.speed.comparison import Comparison
from tandem_export.measure.speed.paper import Best, PaperRow
from tandem_export.measure.speed.report import Line, Measurement, Table
from tandem_export.measure.speed.run import bench

__all__ = [
    "BenchOptions",
    "Best",
    "Candidate",
    "Comparison",
    "Line",
    "Measurement",
    "PaperRow",
    "Table",
    "bench",
]
