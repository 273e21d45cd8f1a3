"""How the engines that run ONNX graphs hold the weights."""

from __future__ import annotations

from tandem_export.bundle import GraphRecord


def packs_weights(graph: GraphRecord, *, mapped: bool) -> bool:
    """Whether an engine should copy a graph's weights into the layout of its matrix products.

    It pays where some rows share them, little for one row, and for a prefill less than the memory
    is worth. Without, a graph reads the mapped file; if `mapped`, every graph does.
    """
    return not mapped and graph.role != "prefill" and graph.batch * (graph.width or 1) > 1
