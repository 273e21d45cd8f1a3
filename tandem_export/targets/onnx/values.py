"""Runs an ONNX file beside the function it came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from tandem_export.graphs import Graph
from tandem_export.targets.validate import values
from tandem_export.targets.validate.arrays import Array, Arrays
from tandem_export.targets.validate.case import draw_case


def check_values(path: Path, graph: Graph, weights: Mapping[str, np.ndarray]) -> float:
    """Returns the largest difference between the file, run by ONNX Runtime, and the function.

    Raises:
      ValueMismatchError: as `validate.check_values`.
    """
    session = _session(path)
    names = sorted(graph.outputs)

    def run(
        params: Arrays, state: Arrays, inputs: Arrays
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        del params  # the file points at them
        results: list = session.run(names, state | inputs)  # type: ignore[assignment]
        return dict(zip(names, results, strict=True)), {}

    return values.check_values(graph, run, draw_case(graph, weights))


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Packed matrices would be a second copy of the weights, for a single run.
    options.add_session_config_entry("session.disable_prepacking", "1")
    # Else it rounds what is multiplied with int8 weights to int8, too.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
