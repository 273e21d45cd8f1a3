"""Small graphs to compile for real."""

from __future__ import annotations

import functools

from tandem_export.graphs import BuildOptions, plan_graphs
from tandem_export.plan.compile import Job
from tandem_export.targets import export_graph
from tests.tiny import TANDEM


@functools.cache
def tiny_jobs(attention: str = "two_part") -> dict[str, Job]:
    """A block and a step of a tiny pair, by name."""
    options = BuildOptions(
        batch=(2,),
        gamma=(3,),
        prompt=(4,),
        cache=128,
        dtype="bfloat16",
        attention=attention,  # type: ignore[arg-type]
        roles=("primary_block", "drafter_step"),
        platforms=("cpu", "tpu"),
    )
    made = [
        export_graph(g, ("cpu", "tpu"), check_values=False) for g in plan_graphs(TANDEM, options)
    ]
    return {e.record.name: Job(record=e.record, export=e.jax_export) for e in made}
