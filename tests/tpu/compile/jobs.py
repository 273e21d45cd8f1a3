"""Small graphs to compile for real."""

from __future__ import annotations

import dataclasses
import functools

from tandem_export.graphs import BuildOptions, plan_graphs
from tandem_export.targets import export_graph
from tandem_export.tpu.compile.run import CompileJob
from tests.tiny import TANDEM


def wide_round(vocab_size: int, batch: int, gamma: int) -> CompileJob:
    """A round of a tiny pair that knows many tokens."""
    pair = dataclasses.replace(
        TANDEM,
        primary=dataclasses.replace(TANDEM.primary, vocab_size=vocab_size),
        drafter=dataclasses.replace(TANDEM.drafter, vocab_size=vocab_size),
    )
    options = BuildOptions(
        batch=(batch,),
        gamma=(gamma,),
        prompt=(4,),
        cache=128,
        dtype="bfloat16",
        roles=("round",),
        platforms=("tpu",),
    )
    (graph,) = (graph for graph in plan_graphs(pair, options) if graph.gamma)
    made = export_graph(graph, "tpu", check_values=False)
    return CompileJob(record=made.record, export=made.artifact.jax_export)


@functools.cache
def tiny_jobs(attention: str = "two_part") -> dict[str, CompileJob]:
    """A block and a step of a tiny pair, by name."""
    options = BuildOptions(
        batch=(2,),
        gamma=(3,),
        prompt=(4,),
        cache=128,
        dtype="bfloat16",
        attention=attention,  # type: ignore[arg-type]
        roles=("primary_block", "drafter_step"),
        platforms=("tpu",),
    )
    made = [export_graph(g, "tpu", check_values=False) for g in plan_graphs(TANDEM, options)]
    return {e.record.name: CompileJob(record=e.record, export=e.artifact.jax_export) for e in made}
