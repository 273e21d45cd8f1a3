"""Compiles every graph with the TPU compiler, without a TPU, and reports."""

from tandem_export.tpu.compile.report import GraphReport
from tandem_export.tpu.compile.report_all import CompileReport, compile_bundle, compile_plan
from tandem_export.tpu.compile.run import CompileOptions, compile_options
from tandem_export.tpu.compile.tune import Trial

__all__ = [
    "CompileOptions",
    "CompileReport",
    "GraphReport",
    "Trial",
    "compile_bundle",
    "compile_options",
    "compile_plan",
]
