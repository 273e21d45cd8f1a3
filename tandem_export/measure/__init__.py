"""What a bundle does, measured: its speed, and how well its drafter guesses."""

from tandem_export.measure.executors import bench_executors
from tandem_export.measure.load import LoadLine, LoadReport, Move, bench_load
from tandem_export.measure.process import Startup, measure_startup
from tandem_export.measure.quality import (
    Acceptance,
    AtBlockLength,
    EvaluateOptions,
    Evaluation,
    Means,
    evaluate,
)
from tandem_export.measure.serving import bench_serving
from tandem_export.measure.speed import (
    BenchOptions,
    Best,
    Candidate,
    Comparison,
    Line,
    Measurement,
    PaperRow,
    Table,
    bench,
)

__all__ = [
    "Acceptance",
    "AtBlockLength",
    "BenchOptions",
    "Best",
    "Candidate",
    "Comparison",
    "EvaluateOptions",
    "Evaluation",
    "Line",
    "LoadLine",
    "LoadReport",
    "Means",
    "Measurement",
    "Move",
    "PaperRow",
    "Startup",
    "Table",
    "bench",
    "bench_executors",
    "bench_load",
    "bench_serving",
    "evaluate",
    "measure_startup",
]
