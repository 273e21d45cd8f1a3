"""Weights of the engines that run ONNX graphs: one set for all graphs of a process."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from tandem_export.bundle import Bundle, GraphRecord


def shared_weights(bundle: Bundle) -> dict[str, np.ndarray]:
    """Every tensor as the engines multiply it: the mapped file's, bfloat16 widened to float32 once.

    Given bfloat16, an engine would widen it anew for every graph that it loads.
    """
    own = bundle.weights()
    wide = {name for name, tensor in own.items() if tensor.dtype == ml_dtypes.bfloat16}
    return {n: t.astype(np.float32) if n in wide else t for n, t in own.items()}


def packs_weights(graph: GraphRecord, *, mapped: bool) -> bool:
    """Whether an engine should copy a graph's weights into the layout of its matrix products.

    It pays where some rows share them, little for one row, and for a prefill less than the memory
    is worth. Without, a graph reads the mapped file; if `mapped`, every graph does.
    """
    return not mapped and graph.role != "prefill" and graph.batch * (graph.width or 1) > 1
