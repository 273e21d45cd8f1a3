"""Calls of a tiny bundle's ONNX graphs, and what ONNX Runtime in Python makes of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnxruntime as ort

from tandem_export.bundle import Bundle, GraphRecord
from tests.onnx_bundles import shared_bundle

# Other engines sum in another order: largest absolute difference to ONNX Runtime, float32.
TOLERANCE = 1e-5
Arrays = dict[str, np.ndarray]


def bundle() -> Bundle:
    return shared_bundle("tandem", "onnx")


def calls() -> Iterator[tuple[GraphRecord, Arrays, Arrays]]:
    """Each graph with random inputs and the outputs that are right."""
    own, rng = bundle(), np.random.default_rng(0)
    for graph in own.manifest.graphs:
        inputs = {spec.name: _draw(rng, spec.shape, spec.dtype) for spec in graph.state}
        inputs |= {spec.name: _draw(rng, spec.shape, spec.dtype) for spec in graph.inputs}
        session = ort.InferenceSession(own.graph_path(graph.name, "onnx"))
        names = [spec.name for spec in graph.outputs]
        outputs = session.run(names, inputs)
        yield graph, inputs, {n: np.asarray(v) for n, v in zip(names, outputs, strict=True)}


def _draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if dtype == "int32":  # tokens, and places of the cache
        return rng.integers(1, 5, shape, np.int32)
    return rng.normal(size=shape).astype(dtype)
