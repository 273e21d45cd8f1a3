"""A graph's manifest record: what every target says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tandem_export.bundle import GraphRecord, TensorSpec
from tandem_export.graphs import Graph


def graph_record(
    graph: Graph, outputs: Mapping[str, Any] | None = None, **of_target: Any
) -> GraphRecord:
    """The record of `graph`, with the fields that only one target has.

    Args:
      graph: what was exported.
      outputs: arrays or shapes by name, where they were read back; None is those of `graph`.
      of_target: further fields of `GraphRecord`.
    """
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
        outputs=_specs(graph.outputs if outputs is None else outputs),
        **of_target,
    )


def _specs(leaves: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    """Records of a flat dict of arrays or shapes, sorted by name."""
    return tuple(
        TensorSpec(name=name, shape=tuple(leaf.shape), dtype=leaf.dtype.name)
        for name, leaf in sorted(leaves.items())
    )
