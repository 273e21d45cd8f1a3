"""The graphs to compile: those of a bundle, or those that a plan would build."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import jax

from tandem_export.bundle import Bundle
from tandem_export.config import TandemConfig
from tandem_export.errors import BundleError, ConfigError
from tandem_export.graphs import BuildOptions, Graph, plan_graphs
from tandem_export.targets import export_graph
from tandem_export.targets.stablehlo import abstract_mesh, placement
from tandem_export.tpu.chips import Slice
from tandem_export.tpu.compile.run import CompileJob
from tandem_export.tpu.plan import Plan, PlannedBucket

PLAN_ROLES = ("prefill", "insert", "primary_block", "drafter_step", "round")
_PREFILL = 256


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What of a build changes its graphs and not what they compute; see `BuildOptions`."""

    attention: Literal["in_cache", "two_part", "kernel"] = BuildOptions.attention
    least_rows: Literal[1, 2] = BuildOptions.least_rows


_FORM = Variant()


def bundle_jobs(bundle: Bundle, target: Slice, roles: Sequence[str] = ()) -> list[CompileJob]:
    """Returns the graphs of a bundle, of `roles` if any are named.

    Raises:
      BundleError: a graph was not lowered for `tpu`, there is none of these roles, or `target` has
        more than one chip.
    """
    if target.chips != 1:
        hint = "Compile the checkpoint, a TOML file or a preset for it instead."
        raise BundleError(f"a bundle's graphs are for one chip. Got: {target.name}. {hint}")
    graphs = [graph for graph in bundle.manifest.graphs if "jax_export" in graph.forms]
    wanted = [graph for graph in graphs if not roles or graph.role in roles]
    if not wanted:
        have = sorted({graph.role for graph in graphs})
        rule = f"`graphs` must name roles of the bundle's StableHLO graphs, {have}"
        raise BundleError(f"{rule}. Got: {list(roles)}")
    for graph in wanted:
        if "tpu" not in graph.platforms:
            hint = "Build the bundle with `--platform tpu`."
            rule = f"graph {graph.name} must be lowered for tpu. Got: {list(graph.platforms)}"
            raise BundleError(f"{rule}. {hint}")
    return [CompileJob(record=g, export=bundle.artifact(g.name, "tpu").jax_export) for g in wanted]


def plan_jobs(
    plan: Plan, roles: Sequence[str] = PLAN_ROLES, form: Variant = _FORM
) -> list[CompileJob]:
    """Returns the graphs that a build with the plan's buckets makes, exported without weights.

    Raises:
      ConfigError: the kernel is asked for on several chips.
    """
    chips = plan.options.target.chips
    if form.attention == "kernel" and chips > 1:
        hint = "XLA cannot split a kernel between chips: use two_part."
        raise ConfigError(f"`attention` kernel is for one chip. Got: {chips} chips. {hint}")
    graphs = {
        graph.name: graph
        for bucket in plan.buckets
        for graph in _bucket_graphs(plan.config, plan, bucket, roles, form)
    }
    return [_job(graph, plan.config, chips) for graph in graphs.values()]


def _job(graph: Graph, config: TandemConfig, chips: int) -> CompileJob:
    if chips == 1:
        exported = export_graph(graph, "tpu", check_values=False)
        return CompileJob(record=exported.record, export=exported.artifact.jax_export)
    mesh = abstract_mesh(chips)
    with jax.sharding.use_abstract_mesh(mesh):  # attention asks how many chips share its heads
        placed = placement(graph, config, mesh)
        exported = export_graph(graph, "tpu", check_values=False, placed=placed)
    return CompileJob(
        record=exported.record, export=exported.artifact.jax_export, split=frozenset(placed.axes)
    )


def _bucket_graphs(
    config: TandemConfig, plan: Plan, bucket: PlannedBucket, roles: Sequence[str], form: Variant
) -> Iterator[Graph]:
    gamma = bucket.best.gamma
    options = BuildOptions(
        batch=(bucket.batch,),
        gamma=(max(gamma, 1),),
        prompt=(min(_PREFILL, plan.options.cache),),
        cache=plan.options.cache,
        dtype="bfloat16",
        quantize="int8" if plan.options.storage == "int8" else "none",
        attention=form.attention,
        least_rows=form.least_rows,
        roles=tuple(roles),  # type: ignore[arg-type]
        platforms=("tpu",),
    )
    for graph in plan_graphs(config, options):
        drafts = graph.gamma if graph.role.startswith("round") else (graph.width or 1) - 1
        if gamma or graph.role in ("prefill", "insert") or not drafts:
            yield graph
