"""SPEED against the primary alone and other candidates, in one alternating run."""

from tandem_export.benchmark.candidates import BenchOptions, Candidate
from tandem_export.benchmark.report import Comparison, Measurement, Table
from tandem_export.benchmark.run import bench
from tandem_export.benchmark.startup import Startup, measure_startup

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
