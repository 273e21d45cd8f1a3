"""The part of ONNX Runtime that this repository uses: the package has no types of its own."""

from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np

class OrtValue:
    @staticmethod
    def ortvalue_from_numpy(numpy_obj: np.ndarray) -> OrtValue: ...
    @staticmethod
    def ortvalue_from_numpy_with_onnx_type(
        data: np.ndarray, onnx_element_type: int
    ) -> OrtValue: ...

class SessionOptions:
    enable_cpu_mem_arena: bool
    inter_op_num_threads: int
    intra_op_num_threads: int
    log_severity_level: int
    def add_initializer(self, name: str, value: OrtValue) -> None: ...
    def add_session_config_entry(self, key: str, value: str) -> None: ...

class NodeArg:
    name: str

class IOBinding:
    def bind_input(
        self,
        name: str,
        device_type: str,
        device_id: int,
        element_type: np.dtype,
        shape: Sequence[int],
        buffer_ptr: int,
    ) -> None: ...
    def bind_output(
        self,
        name: str,
        device_type: str,
        device_id: int,
        element_type: np.dtype,
        shape: Sequence[int],
        buffer_ptr: int,
    ) -> None: ...

class InferenceSession:
    def __init__(
        self,
        path_or_bytes: str | bytes | PathLike[str],
        sess_options: SessionOptions | None = None,
        providers: Sequence[str] | None = None,
        *,
        disabled_optimizers: Sequence[str] | None = None,
    ) -> None: ...
    def get_inputs(self) -> list[NodeArg]: ...
    def get_outputs(self) -> list[NodeArg]: ...
    def io_binding(self) -> IOBinding: ...
    # Every result of this project's graphs is a tensor.
    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, np.ndarray | OrtValue]
    ) -> list[np.ndarray]: ...
    def run_with_iobinding(self, iobinding: IOBinding) -> None: ...
