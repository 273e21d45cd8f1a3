"""The executor `openvino`: the bundle's ONNX graphs with OpenVINO's CPU plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tandem_export.bundle import Bundle, GraphRecord
from tandem_export.errors import ConfigError
from tandem_export.runtime.executors.host import HostExecutor, thread_count
from tandem_export.runtime.executors.quiet_openvino import openvino as ov

# OpenVINO's own default is bfloat16 where the processor has it.
PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


def openvino_executor(
    bundle: Bundle, *, batch: int, precision: str = "float32", threads: int | None = None
) -> HostExecutor:
    """An executor over the bundle's ONNX graphs.

    Args:
      bundle: with ONNX graphs.
      batch: one of its batch buckets.
      precision: what matrix products are computed in; parity is claimed for `float32`.
      threads: None is all cores of the process.

    Raises:
      BundleError: no ONNX graphs of this batch.
      ConfigError: an unknown precision, or `threads` is less than one.
    """
    if precision not in PRECISIONS:
        rule = f"`openvino:PRECISION` must name one of {tuple(PRECISIONS)}"
        raise ConfigError(f"{rule}. Got: {precision!r}")
    backend = OpenVino(bundle, precision=PRECISIONS[precision], threads=thread_count(threads))
    return HostExecutor(bundle, backend, batch=batch)


class OpenVino:
    """Compiled models whose inputs and outputs are the executor's own arrays."""

    def __init__(self, bundle: Bundle, *, precision: str, threads: int) -> None:
        self._bundle, self._core = bundle, ov.Core()
        self._properties = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }

    def load(self, graph: GraphRecord, arrays: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """See `Backend.load`."""
        model = self._core.read_model(self._bundle.path / graph.files["onnx"])
        _replace_weights(model, self._bundle.replaced)
        request = self._core.compile_model(model, "CPU", self._properties).create_infer_request()
        for spec in (*graph.inputs, *graph.state, *graph.outputs):
            request.set_tensor(spec.name, ov.Tensor(arrays[spec.name], shared_memory=True))
        # share_outputs: the results lie in `arrays`; without, each call copies them once more.
        return lambda: request.infer(share_outputs=True)


def _replace_weights(model: ov.Model, tensors: Mapping[str, np.ndarray]) -> None:
    for node in model.get_ops():
        if node.get_type_name() == "Constant" and node.get_friendly_name() in tensors:
            other = ov.opset13.constant(tensors[node.get_friendly_name()])
            node.output(0).replace(other.output(0))
