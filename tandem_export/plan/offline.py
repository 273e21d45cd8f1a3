"""The compile report of a bundle or of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tandem_export.bundle import Bundle
from tandem_export.bundle.amend import add_tuning
from tandem_export.plan.chips import Target
from tandem_export.plan.compile import (
    CompileOptions,
    Job,
    Progress,
    compile_jobs,
    compiler_options,
    require_libtpu,
)
from tandem_export.plan.jobs import PLAN_ROLES, bundle_jobs, plan_jobs
from tandem_export.plan.planner import Plan
from tandem_export.plan.report import ESTIMATE, GraphReport
from tandem_export.plan.tune import Trial, choose, try_all

# Sections of a bundle's `tuning`: the report, and what the runtime compiles with, by platform.
REPORT_SECTION, OPTIONS_SECTION = "compile", "compiler_options"


@dataclass(frozen=True, kw_only=True)
class CompileReport:
    """Every graph of a source on one target.

    Attributes:
      source: the bundle's or the pair's name.
      libtpu: the compiler's version.
      compiler_options: what it was given.
      trials: all ways that were tried, of which `graphs` has the best; empty without tuning.
      chosen: of those, the best.
      estimate: what the cycles are worth.
    """

    source: str
    target: Target
    libtpu: str
    compiler_options: dict[str, str]
    graphs: tuple[GraphReport, ...]
    trials: tuple[Trial, ...] = ()
    chosen: tuple[Trial, ...] = ()
    estimate: str = ESTIMATE

    @property
    def problems(self) -> list[str]:
        """What is not as it must be, each with its graph's name."""
        return [f"{graph.name}: {text}" for graph in self.graphs for text in graph.problems]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "source": self.source,
            "target": self.target.name,
            "topology": self.target.topology,
            "libtpu": self.libtpu,
            "compiler_options": self.compiler_options,
            "estimate": self.estimate,
            "problems": self.problems,
            "graphs": [graph.to_dict() for graph in self.graphs],
            "trials": [trial.to_dict(self.target) for trial in self.trials],
            "chosen": [trial.to_dict(self.target) for trial in self.chosen],
        }


def compile_bundle(
    bundle: Bundle,
    options: CompileOptions,
    roles: Sequence[str] = (),
    progress: Progress | None = None,
    *,
    tune: bool = False,
) -> CompileReport:
    """Compiles a bundle's graphs, of `roles` if any are named; its manifest keeps the report.

    With `tune` the manifest also gets the best compiler options of each graph, which the runtime
    passes on a TPU.

    Raises:
      ConfigError: the compiler is not installed.
      BundleError: a graph was not lowered for a TPU, or there is none of these roles.
    """
    require_libtpu()
    jobs = bundle_jobs(bundle, options.target, roles)
    forms = {bundle.manifest.options["attention"]: jobs}
    report = _report(bundle.manifest.name, forms, options, progress, tune)
    bundle = add_tuning(bundle, REPORT_SECTION, report.to_dict())
    if tune:
        chosen = {t.report.name: compiler_options(t.vmem) for t in report.chosen}
        add_tuning(bundle, OPTIONS_SECTION, {"tpu": chosen})
    return report


def compile_plan(
    plan: Plan,
    options: CompileOptions,
    roles: Sequence[str] = (),
    progress: Progress | None = None,
    *,
    tune: bool = False,
) -> CompileReport:
    """Compiles the graphs that a build with the plan's buckets would make; no weights are needed.

    With `tune` both attention forms are tried, else `two_part` is compiled.

    Raises:
      ConfigError: the compiler is not installed.
    """
    require_libtpu()
    names = ("two_part", "in_cache") if tune else ("two_part",)
    forms = {name: plan_jobs(plan, roles or PLAN_ROLES, attention=name) for name in names}
    return _report(plan.pair, forms, options, progress, tune)


def _report(
    source: str,
    forms: Mapping[str, Sequence[Job]],
    options: CompileOptions,
    progress: Progress | None,
    tune: bool,
) -> CompileReport:
    trials = try_all(forms, options, progress) if tune else []
    chosen = choose(trials, options.target) if tune else []
    [first, *_] = forms.values()
    graphs = [t.report for t in chosen] if tune else compile_jobs(first, options, progress)
    return CompileReport(
        source=source,
        target=options.target,
        libtpu=require_libtpu(),
        compiler_options=dict(options.compiler),
        graphs=tuple(graphs),
        trials=tuple(trials),
        chosen=tuple(chosen),
    )
