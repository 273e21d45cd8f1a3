"""How the engines that run ONNX graphs hold the weights."""

from __future__ import annotations

from tandem_export.bundle import GraphRecord


def packs_weights(graph: GraphRecord, *, mapped: bool) -> bool:
    """Returns whether an engine copies a graph's weights into the layout of its matmuls.

    A copy pays off when several rows share the weights. For a single row the gain is small, and for
    a prefill it is not worth the memory. Other graphs read the mapped file; if `mapped`, all do.
    """
    return not mapped and graph.role != "prefill" and graph.batch * (graph.width or 1) > 1
