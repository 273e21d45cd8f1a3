"""Planning for TPU v5e on a machine without one: buckets, memory, cost."""

from tandem_export.plan.acceptance import Acceptance, from_file, from_rate, read_acceptance
from tandem_export.plan.advice import build_command, conclusion
from tandem_export.plan.chips import TARGETS, Target, target_named
from tandem_export.plan.compile import CompileOptions, compile_options
from tandem_export.plan.memory import DoesNotFitError, Memory
from tandem_export.plan.offline import CompileReport, compile_bundle, compile_plan
from tandem_export.plan.options import PlanOptions
from tandem_export.plan.planner import Bucket, Plan, plan
from tandem_export.plan.presets import PRESETS, read_pair

__all__ = [
    "PRESETS",
    "TARGETS",
    "Acceptance",
    "Bucket",
    "CompileOptions",
    "CompileReport",
    "DoesNotFitError",
    "Memory",
    "Plan",
    "PlanOptions",
    "Target",
    "build_command",
    "compile_bundle",
    "compile_options",
    "compile_plan",
    "conclusion",
    "from_file",
    "from_rate",
    "plan",
    "read_acceptance",
    "read_pair",
    "target_named",
]
