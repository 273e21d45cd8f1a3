"""SPEED against the primary alone and other candidates, in one alternating run."""

from tandem_export.measure.process.startup import Startup, measure_startup
from tandem_export.measure.speed.candidates import BenchOptions, Candidate
from tandem_export.measure.speed.report import Comparison, Measurement, Table
from tandem_export.measure.speed.run import bench

__all__ = [
    "BenchOptions",
    "Candidate",
    "Comparison",
    "Measurement",
    "Startup",
    "Table",
    "bench",
    "measure_startup",
]
