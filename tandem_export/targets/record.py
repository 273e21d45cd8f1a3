"""A graph's manifest record: what every target says of it."""

from __future__ import annotations

from typing import Any

from tandem_export.bundle import GraphRecord, TensorSpec
from tandem_export.graphs import Graph
from tandem_export.targets.validate.arrays import Arrays


def graph_record(graph: Graph, **of_target: Any) -> GraphRecord:
    """Returns the record of `graph`, with the fields of `GraphRecord` that only one target has."""
    return GraphRecord(
        name=graph.name,
        role=graph.role,
        batch=graph.batch,
        gamma=graph.gamma,
        width=graph.width,
        parity=graph.parity,
        params=_specs(graph.params),
        state=_specs(graph.state),
        inputs=_specs(graph.inputs),
        outputs=_specs(graph.outputs),
        **of_target,
    )


def _specs(leaves: Arrays) -> tuple[TensorSpec, ...]:
    """Records of a flat dict of arrays or shapes, sorted by name."""
    return tuple(
        TensorSpec(name=name, shape=tuple(leaf.shape), dtype=leaf.dtype.name)
        for name, leaf in sorted(leaves.items())
    )
