"""Tries each graph with several sizes of on-chip memory, a plan's in both attention forms too.

What is compared is the report's time: an uncalibrated estimate. It ranks; it promises nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tandem_export.plan.chips import Target
from tandem_export.plan.compile import (
    CompileOptions,
    Job,
    Progress,
    compile_jobs,
    compiler_options,
)
from tandem_export.plan.report import GraphReport

# MiB that one operation may use; None is the compiler's own choice, 16 in libtpu 0.0.52.
VMEM = (None, 32, 64)
# Estimates closer than this are one; the smaller memory is then taken.
_TIE = 0.02


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One graph, compiled one way."""

    attention: str
    vmem: int | None
    report: GraphReport

    def seconds(self, target: Target) -> float:
        """The report's time; endless where the graph does not compile."""
        seconds = self.report.seconds(target)
        return math.inf if seconds is None else seconds

    def to_dict(self, target: Target) -> dict[str, Any]:
        """A line of the table, JSON values."""
        return {
            "graph": self.report.name,
            "attention": self.attention,
            "vmem_mib": self.vmem,
            "estimated_seconds": self.report.seconds(target),
            "cycles": self.report.cycles,
            "hbm_bytes": self.report.hbm_bytes,
            "error": self.report.error,
        }


def try_all(
    forms: Mapping[str, Sequence[Job]], options: CompileOptions, progress: Progress | None = None
) -> list[Trial]:
    """Compiles the jobs of every attention form with every size of memory."""
    trials = []
    for attention, jobs in forms.items():
        for vmem in VMEM:
            tried = dataclasses.replace(options, compiler=compiler_options(vmem))
            for report in compile_jobs(jobs, tried, progress):
                trials.append(Trial(attention=attention, vmem=vmem, report=report))
    return trials


def choose(trials: Sequence[Trial], target: Target) -> list[Trial]:
    """The best way of each graph, all in the attention form that is faster in sum."""
    forms = dict.fromkeys(trial.attention for trial in trials)
    picks = [_best_of_each([t for t in trials if t.attention == form], target) for form in forms]
    return min(picks, key=lambda own: sum(trial.seconds(target) for trial in own))


def _best_of_each(trials: Sequence[Trial], target: Target) -> list[Trial]:
    names = dict.fromkeys(trial.report.name for trial in trials)
    return [_best([t for t in trials if t.report.name == name], target) for name in names]


def _best(trials: Sequence[Trial], target: Target) -> Trial:
    least = min(trial.seconds(target) for trial in trials)
    near = [trial for trial in trials if trial.seconds(target) <= least * (1 + _TIE)]
    return min(near, key=lambda trial: trial.vmem or 0)
