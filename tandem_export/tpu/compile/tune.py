"""Tries each graph with several sizes of on-chip memory, a plan's in several forms too.

What is compared is the report's time: an uncalibrated estimate. It ranks; it promises nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tandem_export.jsontypes import JsonObject
from tandem_export.progress import Progress, silent
from tandem_export.tpu.chips import Slice
from tandem_export.tpu.compile.jobs import Variant
from tandem_export.tpu.compile.report import GraphReport
from tandem_export.tpu.compile.run import (
    CompileJob,
    CompileOptions,
    compile_jobs,
    compiler_options,
)

# MiB that one operation may use; None is the compiler's own choice, 16 in libtpu 0.0.52.
VMEM = (None, 32, 64)
# Estimates closer than this are one; the smaller memory is then taken.
_TIE = 0.02


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One graph, compiled one way; `vmem` None is what the options say."""

    form: Variant
    vmem: int | None
    report: GraphReport

    def seconds(self, target: Slice) -> float:
        """Returns the report's time; endless where the graph does not compile."""
        seconds = self.report.seconds(target)
        return math.inf if seconds is None else seconds

    def to_dict(self, target: Slice) -> JsonObject:
        """Returns a line of the table, JSON values."""
        return {
            "graph": self.report.name,
            **dataclasses.asdict(self.form),
            "vmem_mib": self.vmem,
            "estimated_seconds": self.report.seconds(target),
            "cycles": self.report.cycles,
            "hbm_bytes": self.report.hbm_bytes,
            "kernels": self.report.kernels,
            "compile_seconds": self.report.compile_seconds,
            "error": self.report.error,
        }


def try_all(
    forms: Mapping[Variant, Sequence[CompileJob]],
    options: CompileOptions,
    vmem: Sequence[int | None] = VMEM,
    progress: Progress = silent,
) -> list[Trial]:
    """Compiles the jobs of every form with every size of memory.

    A graph that is the same in two forms is compiled once.
    """
    trials: list[Trial] = []
    known: dict[tuple[bytes, int | None], GraphReport] = {}
    for form, jobs in forms.items():
        for size in vmem:
            new = [job for job in jobs if (job.export, size) not in known]
            compiler = dict(options.compiler) | compiler_options(size)
            tried = dataclasses.replace(options, compiler=compiler)
            reports = compile_jobs(new, tried, progress)
            known.update({(job.export, size): r for job, r in zip(new, reports, strict=True)})
            trials += [Trial(form=form, vmem=size, report=known[job.export, size]) for job in jobs]
    return trials


def choose(trials: Sequence[Trial], target: Slice) -> list[Trial]:
    """Returns each graph's best trial, all of the form that is fastest in sum; the first of equals.

    Ways and forms with fewer problems come before faster ones. The kernel is not chosen where there
    is another form: what goes on inside it is in no estimate.
    """
    every = dict.fromkeys(trial.form for trial in trials)
    forms = [form for form in every if form.attention != "kernel"] or list(every)
    picks = [_best_of_each([t for t in trials if t.form == form], target) for form in forms]
    return min(
        picks, key=lambda picked: (_problems(picked), sum(t.seconds(target) for t in picked))
    )


def _problems(trials: Iterable[Trial]) -> int:
    return sum(len(trial.report.problems) for trial in trials)


def _best_of_each(trials: Sequence[Trial], target: Slice) -> list[Trial]:
    names = dict.fromkeys(trial.report.name for trial in trials)
    return [_best([t for t in trials if t.report.name == name], target) for name in names]


def _best(trials: Sequence[Trial], target: Slice) -> Trial:
    fewest = min(_problems([trial]) for trial in trials)
    sound = [trial for trial in trials if _problems([trial]) == fewest]
    least = min(trial.seconds(target) for trial in sound)
    near = [trial for trial in sound if trial.seconds(target) <= least * (1 + _TIE)]
    return min(near, key=lambda trial: trial.vmem or 0)
