"""The executor `onnxruntime`: the bundle's ONNX graphs with ONNX Runtime's CPU kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import ml_dtypes
import numpy as np
import onnxruntime as ort

from tandem_export.bundle import Bundle, GraphRecord
from tandem_export.runtime.executors.host.executor import HostExecutor, thread_count
from tandem_export.runtime.executors.host.weights import packs_weights

_QUIET = 3  # errors only
_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16
_FOLDED, _LARGEST_FOLDED = "optimization.constant_folding_max_output_size_in_bytes", 2**16


def onnxruntime_executor(
    bundle: Bundle,
    *,
    batch: int,
    batches: Sequence[int] = (),
    threads: int | None = None,
    mapped: bool = False,
) -> HostExecutor:
    """Returns an executor over the bundle's ONNX graphs.

    Args:
      bundle: with ONNX graphs.
      batch: one of its batch buckets.
      batches: further ones that the rows may be moved to.
      threads: None is all cores of the process.
      mapped: see `packs_weights`.

    Raises:
      BundleError: no ONNX graphs of this batch.
      ConfigError: `threads` is less than one.
    """
    backend = OnnxRuntime(bundle, threads=thread_count(threads), mapped=mapped)
    return HostExecutor(bundle, backend, batch=batch, batches=batches)


class OnnxRuntime:
    """Sessions over one mapping of the weight file, inputs and outputs bound by pointer."""

    def __init__(self, bundle: Bundle, *, threads: int, mapped: bool = False) -> None:
        self._bundle, self._threads, self._mapped = bundle, threads, mapped
        self._weights = {name: _value(tensor) for name, tensor in bundle.weights().items()}

    def load(self, graph: GraphRecord, arrays: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """See `Backend.load`."""
        path = self._bundle.graph_path(graph.name, "onnx")
        session = ort.InferenceSession(
            path, self._options(graph), providers=["CPUExecutionProvider"]
        )
        binding = session.io_binding()
        for spec in (*graph.inputs, *graph.state):
            _bind(binding.bind_input, spec.name, arrays[spec.name])
        for spec in graph.outputs:
            _bind(binding.bind_output, spec.name, arrays[spec.name])
        # Both are kept: binding and session hold pointers only.
        return lambda kept=(arrays, self._weights): session.run_with_iobinding(binding)

    def _options(self, graph: GraphRecord) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _QUIET
        # Between two steps the host works: threads that spin would take its cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The arena keeps the largest activations of every session; the steps are as fast without.
        options.enable_cpu_mem_arena = False
        # int8 weights would be multiplied with activations rounded to int8: 0.07 off in a logit.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        packed = packs_weights(graph, mapped=self._mapped)
        if not packed:
            options.add_session_config_entry("session.disable_prepacking", "1")
        # A copy of the weights in float32, for each session: where it is packed, for the few of a
        # drafter, and of int8, whose widening in each call takes many times as long as a step. For
        # others a cast of bfloat16 in each call is worth the memory.
        small = graph.role == "drafter_step" and not self._mapped
        if not (packed or small or any(spec.dtype == "int8" for spec in graph.params)):
            options.add_session_config_entry(_FOLDED, str(_LARGEST_FOLDED))
        for spec in graph.params:
            options.add_initializer(spec.name, self._weights[spec.name])
        return options


def _value(tensor: np.ndarray) -> ort.OrtValue:
    """Wraps the tensor's memory; numpy has no bfloat16 that the engine knows."""
    if tensor.dtype != ml_dtypes.bfloat16:
        return ort.OrtValue.ortvalue_from_numpy(tensor)
    bits = tensor.view(np.uint16)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, _BFLOAT16)


def _bind(bind: Callable[..., None], name: str, array: np.ndarray) -> None:
    bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
