"""The executor `onnxruntime`: the bundle's ONNX graphs with ONNX Runtime's CPU kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ml_dtypes
import numpy as np
import onnxruntime as ort

from tandem_export.bundle import Bundle, GraphRecord
from tandem_export.runtime.executors.host import HostExecutor, thread_count

_BFLOAT16 = 16  # TensorProto.BFLOAT16
_QUIET = 3  # errors only


def onnxruntime_executor(bundle: Bundle, *, batch: int, threads: int | None = None) -> HostExecutor:
    """An executor over the bundle's ONNX graphs; `threads` None is all cores of the process.

    Raises:
      BundleError: no ONNX graphs of this batch.
      ConfigError: `threads` is less than one.
    """
    return HostExecutor(bundle, OnnxRuntime(bundle, threads=thread_count(threads)), batch=batch)


class OnnxRuntime:
    """Sessions over one mapping of the weight file, inputs and outputs bound by pointer."""

    def __init__(self, bundle: Bundle, *, threads: int) -> None:
        self._bundle, self._threads = bundle, threads
        self._weights = {name: _value(tensor) for name, tensor in bundle.weights().items()}

    def load(self, graph: GraphRecord, arrays: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """See `Backend.load`."""
        path = self._bundle.path / graph.files["onnx"]
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
        if not _prepacked(graph):
            options.add_session_config_entry("session.disable_prepacking", "1")
        for spec in graph.params:
            options.add_initializer(spec.name, self._weights[spec.name])
        return options


def _prepacked(graph: GraphRecord) -> bool:
    """Whether the session copies its weights into the layout of its matrix products.

    It pays where several rows share them: 1.5 to 2 times the speed at 4 to 24 rows, 1.1 for one
    row, 1.2 for a prefill of 64. Without, a session reads the mapped file and takes little memory.
    """
    return graph.role != "prefill" and graph.batch * (graph.width or 1) > 1


def _value(tensor: np.ndarray) -> ort.OrtValue:
    if tensor.dtype == ml_dtypes.bfloat16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(tensor.view(np.uint16), _BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(tensor)


def _bind(bind: Callable[..., None], name: str, array: np.ndarray) -> None:
    bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
