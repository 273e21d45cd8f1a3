"""Plans buckets, memory and cost on TPU v5e, on a machine without one."""

from tandem_export.tpu.chips import TARGETS, Target, target_named
from tandem_export.tpu.plan.acceptance import Acceptance, from_file, from_rate, read_acceptance
from tandem_export.tpu.plan.advice import build_command, conclusion
from tandem_export.tpu.plan.memory import DoesNotFitError, Memory
from tandem_export.tpu.plan.options import PlanOptions
from tandem_export.tpu.plan.planner import Bucket, Plan, plan
from tandem_export.tpu.plan.presets import PRESETS, read_pair

__all__ = [
    "PRESETS",
    "TARGETS",
    "Acceptance",
    "Bucket",
    "DoesNotFitError",
    "Memory",
    "Plan",
    "PlanOptions",
    "Target",
    "build_command",
    "conclusion",
    "from_file",
    "from_rate",
    "plan",
    "read_acceptance",
    "read_pair",
    "target_named",
]
