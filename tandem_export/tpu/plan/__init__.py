"""Plans buckets, memory and cost on TPU v5e, on a machine without one."""

from __future__ import annotations

import warnings

from tandem_export.tpu.chips import SLICES, Slice, slice_named
from tandem_export.tpu.plan.acceptance import Acceptance, from_file, from_rate, read_acceptance
from tandem_export.tpu.plan.advice import build_command, conclusion
from tandem_export.tpu.plan.memory import DoesNotFitError, Memory
from tandem_export.tpu.plan.options import PlanOptions
from tandem_export.tpu.plan.planner import Plan, PlannedBucket, plan
from tandem_export.tpu.plan.presets import PRESETS, read_pair

__all__ = [
    "PRESETS",
    "SLICES",
    "Acceptance",
    "DoesNotFitError",
    "Memory",
    "Plan",
    "PlanOptions",
    "PlannedBucket",
    "Slice",
    "build_command",
    "conclusion",
    "from_file",
    "from_rate",
    "plan",
    "read_acceptance",
    "read_pair",
    "slice_named",
]

_RENAMED = {
    "Bucket": "PlannedBucket",
    "TARGETS": "SLICES",
    "Target": "Slice",
    "target_named": "slice_named",
}


def __getattr__(name: str) -> object:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    text = f"`{name}` is now `{_RENAMED[name]}`; the old name goes with the next release."
    warnings.warn(text, DeprecationWarning, stacklevel=2)
    return globals()[_RENAMED[name]]
