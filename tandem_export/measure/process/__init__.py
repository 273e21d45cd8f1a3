"""Measures whole processes: start, first call, memory."""

from tandem_export.measure.process.first_call import measure_first_call
from tandem_export.measure.process.footprint import ProcessCost, measure_cost
from tandem_export.measure.process.startup import Startup, measure_startup

__all__ = [
    "ProcessCost",
    "Startup",
    "measure_cost",
    "measure_first_call",
    "measure_startup",
]
