"""Compares SPEED with the primary alone in alternating runs."""

from tandem_export.measure.speed.candidates import BenchOptions, Candidate
from tandem_export.measure.speed.report import Comparison, Line, Measurement, Table
from tandem_export.measure.speed.run import bench

__all__ = [
    "BenchOptions",
    "Candidate",
    "Comparison",
    "Line",
    "Measurement",
    "Table",
    "bench",
]
