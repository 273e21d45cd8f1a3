"""The executor `openvino`: the bundle's ONNX graphs with OpenVINO's CPU plugin."""

# Some of OpenVINO's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

import ml_dtypes
import numpy as np

from tandem_export.bundle import Bundle, GraphRecord
from tandem_export.runtime.executors.host.executor import HostExecutor, thread_count
from tandem_export.runtime.executors.host.quiet_openvino import openvino as ov
from tandem_export.runtime.executors.host.weights import packs_weights
from tandem_export.storage import return_free_memory

# OpenVINO's own defaults are bfloat16 where the processor has it, and activations rounded to int8
# (in groups of a row) where weights are int8.
PRECISIONS = {
    "float32": {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0},
    "bfloat16": {"INFERENCE_PRECISION_HINT": "bf16"},
}


def openvino_executor(
    bundle: Bundle,
    *,
    batch: int,
    batches: Sequence[int] = (),
    precision: str = "float32",
    threads: int | None = None,
    mapped: bool = False,
) -> HostExecutor:
    """Returns an executor over the bundle's ONNX graphs.

    Args:
      bundle: with ONNX graphs.
      batch: one of its batch buckets.
      batches: further ones that the rows may be moved to.
      precision: what matrix products are computed in; parity is claimed for `float32`.
      threads: None is all cores of the process.
      mapped: see `packs_weights`.

    Raises:
      BundleError: no ONNX graphs of this batch.
      ConfigError: `threads` is less than one.
    """
    count = thread_count(threads)
    backend = OpenVino(bundle, precision=precision, threads=count, mapped=mapped)
    return HostExecutor(bundle, backend, batch=batch, batches=batches)


class OpenVino:
    """Compiled models over one mapping of the weights; inputs and outputs are the executor's."""

    def __init__(
        self, bundle: Bundle, *, precision: str, threads: int, mapped: bool = False
    ) -> None:
        self._bundle, self._core, self._mapped = bundle, ov.Core(), mapped
        # Its kernels for chains of small operations hold 7 MiB in each graph and save no time. The
        # name is undocumented: an OpenVINO that lacks it holds those, and is right too.
        with contextlib.suppress(RuntimeError):
            self._core.set_property("CPU", {"SNIPPETS_MODE": "DISABLE"})
        self._weights = _widened(bundle.weights())
        self._properties = PRECISIONS[precision] | {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }

    def load(self, graph: GraphRecord, arrays: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """See `Backend.load`."""
        model = self._core.read_model(self._bundle.graph_path(graph.name, "onnx"))
        weights = {spec.name: self._weights[spec.name] for spec in graph.params}
        # int8 comes out wrong unless its scale is constant.
        packed = packs_weights(graph, mapped=self._mapped) or any(
            w.dtype == np.int8 for w in weights.values()
        )
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


def _widened(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Widens bfloat16 tensors to float32: the engine would do so again for every graph."""
    narrow = {name for name, tensor in weights.items() if tensor.dtype == ml_dtypes.bfloat16}
    return {n: t.astype(np.float32) if n in narrow else t for n, t in weights.items()}


def _bind_weights(
    model: ov.Model, weights: Mapping[str, np.ndarray], *, packed: bool
) -> dict[str, ov.Tensor]:
    """Puts the weights of our own mapping into the model; each model would map the file anew.

    A model packs its constants. If not `packed`, matrices become inputs, which it reads where they
    lie; the tensors to set are returned.
    """
    given: dict[str, ov.Tensor] = {}
    inputs: list[ov.op.Parameter] = []
    for node in model.get_ops():
        name = node.get_friendly_name()
        if node.get_type_name() != "Constant" or name not in weights:
            continue
        tensor = _shared(weights[name])
        if packed or weights[name].ndim != 2:
            node.output(0).replace(ov.op.Constant(tensor).output(0))
            continue
        parameter = ov.opset13.parameter(tensor.shape, tensor.element_type, name=name)
        parameter.output(0).tensor.set_names({name})
        node.output(0).replace(parameter.output(0))
        inputs.append(parameter)
        given[name] = tensor
    model.add_parameters(inputs)
    return given


def _shared(array: np.ndarray) -> ov.Tensor:
    """Returns a tensor over the array's own memory; this form takes one that is read-only."""
    return ov.Tensor(array, list(array.shape), ov.Type(array.dtype))
