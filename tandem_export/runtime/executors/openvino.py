"""The executor `openvino`: the bundle's ONNX graphs with OpenVINO's CPU plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tandem_export.bundle import Bundle, GraphRecord
from tandem_export.errors import ConfigError
from tandem_export.memory import return_free_memory
from tandem_export.runtime.executors.host import HostExecutor, thread_count
from tandem_export.runtime.executors.host_weights import packs_weights, shared_weights
from tandem_export.runtime.executors.quiet_openvino import openvino as ov

# OpenVINO's own defaults are bfloat16 where the processor has it, and activations rounded to int8
# (in groups of a row) where weights are int8.
PRECISIONS = {
    "float32": {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0},
    "bfloat16": {"INFERENCE_PRECISION_HINT": "bf16"},
}


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
    backend = OpenVino(bundle, precision=precision, threads=thread_count(threads))
    return HostExecutor(bundle, backend, batch=batch)


class OpenVino:
    """Compiled models over one mapping of the weights; inputs and outputs are the executor's."""

    def __init__(self, bundle: Bundle, *, precision: str, threads: int) -> None:
        self._bundle, self._core = bundle, ov.Core()
        self._weights = shared_weights(bundle)
        self._properties = PRECISIONS[precision] | {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }

    def load(self, graph: GraphRecord, arrays: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """See `Backend.load`."""
        model = self._core.read_model(self._bundle.path / graph.files["onnx"])
        weights = {spec.name: self._weights[spec.name] for spec in graph.params}
        # int8 comes out wrong unless its scale is constant.
        packed = packs_weights(graph) or any(w.dtype == np.int8 for w in weights.values())
        given = _bind_weights(model, weights, packed=packed)
        request = self._core.compile_model(model, "CPU", self._properties).create_infer_request()
        for name, tensor in given.items():
            request.set_tensor(name, tensor)
        for spec in (*graph.inputs, *graph.state, *graph.outputs):
            request.set_tensor(spec.name, ov.Tensor(arrays[spec.name], shared_memory=True))
        # The first run gives up the room that the engine made for these tensors itself.
        request.infer(share_outputs=True)
        return_free_memory()
        # share_outputs: the results lie in `arrays`; without, each call copies them once more.
        # Arrays and weights are kept: the engine holds pointers only.
        return lambda kept=(arrays, self._weights): request.infer(share_outputs=True)


def _bind_weights(
    model: ov.Model, weights: Mapping[str, np.ndarray], *, packed: bool
) -> dict[str, ov.Tensor]:
    """Puts the weights of our own mapping into the model; each model would map the file anew.

    A model packs its constants. If not `packed`, matrices become inputs, which it reads where they
    lie; the tensors to set are returned.
    """
    given, inputs = {}, []
    for node in model.get_ops():
        name = node.get_friendly_name()
        if node.get_type_name() != "Constant" or name not in weights:
            continue
        tensor = _shared(weights[name])
        if packed or weights[name].ndim != 2:
            node.output(0).replace(ov.op.Constant(tensor).output(0))
            continue
        inputs.append(ov.opset13.parameter(tensor.shape, tensor.element_type, name=name))
        inputs[-1].output(0).tensor.set_names({name})
        node.output(0).replace(inputs[-1].output(0))
        given[name] = tensor
    model.add_parameters(inputs)
    return given


def _shared(array: np.ndarray) -> ov.Tensor:
    """A tensor over the array's own memory; this form takes one that is read-only."""
    return ov.Tensor(array, list(array.shape), ov.Type(array.dtype))
