"""The compile report of a bundle or of a plan."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tandem_export.bundle import Bundle, add_tuning
from tandem_export.graphs import AttentionForm
from tandem_export.jsontypes import JsonObject
from tandem_export.progress import Progress, silent
from tandem_export.tpu.chips import Slice
from tandem_export.tpu.compile.jobs import PLAN_ROLES, Variant, bundle_jobs, plan_jobs
from tandem_export.tpu.compile.report import ESTIMATE, GraphReport
from tandem_export.tpu.compile.run import (
    CompileJob,
    CompileOptions,
    compiler_options,
    require_libtpu,
)
from tandem_export.tpu.compile.tune import VMEM, Trial, choose, try_all
from tandem_export.tpu.plan import Plan


@dataclass(frozen=True, kw_only=True)
class CompileReport:
    """Every graph of a source on one target.

    Attributes:
      source: the bundle's or the pair's name.
      libtpu: the compiler's version.
      compiler_options: what it was given.
      seconds: how long compiling took, wall clock; answers that were kept take none.
      trials: all ways that were tried, of which `graphs` has the best, or without tuning those of
        the first form; empty if there was one way.
      chosen: of those, the best; empty without tuning.
      estimate: what the cycles are worth.
    """

    source: str
    target: Slice
    libtpu: str
    compiler_options: dict[str, str]
    graphs: tuple[GraphReport, ...]
    seconds: float
    trials: tuple[Trial, ...] = ()
    chosen: tuple[Trial, ...] = ()
    estimate: str = ESTIMATE

    @property
    def problems(self) -> list[str]:
        """What is not as it must be, each with its graph's name."""
        return [f"{graph.name}: {text}" for graph in self.graphs for text in graph.problems]

    def to_dict(self) -> JsonObject:
        """Returns JSON values."""
        return {
            "source": self.source,
            "target": self.target.name,
            "topology": self.target.topology,
            "libtpu": self.libtpu,
            "compiler_options": self.compiler_options,
            "estimate": self.estimate,
            "seconds": self.seconds,
            "problems": self.problems,
            "graphs": [graph.to_dict() for graph in self.graphs],
            "trials": [trial.to_dict(self.target) for trial in self.trials],
            "chosen": [trial.to_dict(self.target) for trial in self.chosen],
        }


def compile_bundle(
    bundle: Bundle,
    options: CompileOptions,
    roles: Sequence[str] = (),
    progress: Progress = silent,
    *,
    tune: bool = False,
) -> CompileReport:
    """Compiles a bundle's graphs, of `roles` if any are named; its manifest keeps the report.

    It also gets the compiler options of each graph, with `tune` the best that were tried; the
    runtime passes them on a TPU.

    Raises:
      ConfigError: the compiler is not installed.
      BundleError: a graph was not lowered for a TPU, or there is none of these roles.
    """
    require_libtpu()
    jobs = bundle_jobs(bundle, options.target, roles)
    built = bundle.manifest.options
    forms = {Variant(attention=built.attention, least_rows=built.least_rows): jobs}
    report = _report(bundle.manifest.name, forms, options, progress, tune)
    given = dict(options.compiler)
    plain = {graph.name: given for graph in report.graphs}
    chosen = {t.report.name: given | compiler_options(t.vmem) for t in report.chosen}
    by_platform = {"tpu": plain | chosen}
    add_tuning(bundle, compile=report.to_dict(), compiler_options=by_platform)
    return report


def compile_plan(
    plan: Plan,
    options: CompileOptions,
    roles: Sequence[str] = (),
    progress: Progress = silent,
    *,
    tune: bool = False,
    attention: Sequence[AttentionForm] = (),
    least_rows: Sequence[Literal[1, 2]] = (),
) -> CompileReport:
    """Compiles the graphs that a build with the plan's buckets would make; no weights are needed.

    Each of `attention` is compiled with each of `least_rows`: by default those of a build, with
    `tune` every attention that the target can run, and at batch 1 rows 1 and 2.

    Raises:
      ConfigError: the compiler is not installed; the kernel on several chips.
    """
    require_libtpu()
    wanted = plan_forms(plan, attention, least_rows, tune)
    forms = {form: plan_jobs(plan, roles or PLAN_ROLES, form) for form in wanted}
    return _report(plan.pair, forms, options, progress, tune)


def plan_forms(
    plan: Plan,
    attention: Sequence[AttentionForm] = (),
    least_rows: Sequence[Literal[1, 2]] = (),
    tune: bool = False,
) -> list[Variant]:
    """Returns the forms that `compile_plan` compiles."""
    if not attention:
        every = ("in_cache", "two_part", "kernel")[: 3 if plan.options.target.chips == 1 else 2]
        attention = every if tune else every[:1]
    if not least_rows:
        padded = tune and any(bucket.batch == 1 for bucket in plan.buckets)
        least_rows = (1, 2) if padded else (1,)
    return [Variant(attention=a, least_rows=rows) for rows in least_rows for a in attention]


def _report(
    source: str,
    forms: Mapping[Variant, Sequence[CompileJob]],
    options: CompileOptions,
    progress: Progress,
    tune: bool,
) -> CompileReport:
    start = time.perf_counter()
    trials = try_all(forms, options, VMEM if tune else VMEM[:1], progress)
    chosen = choose(trials, options.target) if tune else []
    graphs = chosen or [trial for trial in trials if trial.form == next(iter(forms))]
    return CompileReport(
        source=source,
        target=options.target,
        libtpu=require_libtpu(),
        compiler_options=dict(options.compiler),
        graphs=tuple(trial.report for trial in graphs),
        seconds=time.perf_counter() - start,
        trials=tuple(trials) if len(trials) > len(graphs) else (),
        chosen=tuple(chosen),
    )
