"""Describes the StableHLO graphs of two tiny pairs, so that a change of any of them is noticed.

Run as a module after a change that is meant, it writes `golden.json` anew; say in the commit why
the graphs that differ do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from tandem_export.bundle import GraphRecord
from tandem_export.graphs import BuildOptions, Graph, plan_graphs
from tandem_export.targets import export_graph
from tests.pairs import CONFIGS

PATH = Path(__file__).with_name("golden.json")
OPTIONS = BuildOptions(batch=(2,), gamma=(2,), prompt=(4,), cache=16, max_new=4)
# What only a TPU has, memory that is set aside and not filled, is in these.
ON_TPU = ("round", "generate")


def graphs() -> Iterator[tuple[str, str, Graph]]:
    """Yields the key of each graph in the golden, its platform, and the graph."""
    for kind in ("tandem", "independent"):
        for graph in plan_graphs(CONFIGS[kind], OPTIONS):
            for platform in ("cpu", "tpu") if graph.role in ON_TPU else ("cpu",):
                yield f"{kind}/{platform}/{graph.name}", platform, graph


def describe(graph: Graph, platform: str) -> dict[str, Any]:
    """Returns the arguments and results of a graph, and the hash of its module's text."""
    export = export_graph(graph, platform, check_values=False)
    text = module_text(export.artifact.stablehlo)
    return {
        "signature": signature(export.record),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def signature(record: GraphRecord) -> dict[str, list[str]]:
    """Returns what the graph takes and gives; that does not depend on the release of jax."""
    parts = {part: getattr(record, part) for part in ("params", "state", "inputs", "outputs")}
    return {
        part: [f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in specs]
        for part, specs in parts.items()
    }


def module_text(artifact: bytes) -> str:
    """Returns a portable artifact as text, without source locations."""
    with ir.Context() as context:
        stablehlo.register_dialect(context)
        module = stablehlo.deserialize_portable_artifact(context, artifact)
        return str(module.operation.get_asm(enable_debug_info=False))


def main() -> None:
    entries = {key: describe(graph, platform) for key, platform, graph in graphs()}
    values = {"jax": jax.__version__, "graphs": entries}
    PATH.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
