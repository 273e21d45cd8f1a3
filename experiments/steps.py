"""Runs single ONNX graphs of a bundle, to be timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from tandem_export.bundle import GraphRecord

Arrays = dict[str, np.ndarray]


def random_arrays(graph: GraphRecord, seed: int = 0) -> Arrays:
    """Inputs, caches and room for the outputs of a graph of the `rows` contract, by name."""
    rng = np.random.default_rng(seed)
    made: Arrays = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in graph.outputs}
    for spec in graph.state:
        made[spec.name] = rng.normal(size=spec.shape).astype(spec.dtype)
    for spec in graph.inputs:
        made[spec.name] = rng.integers(0, 8, spec.shape).astype(spec.dtype)
    return made


def session_run(
    model: Path | bytes,
    arrays: Arrays,
    settings: Mapping[str, str] | None = None,
    disabled: Sequence[str] = (),
) -> Callable[[], Arrays]:
    """A session of ONNX Runtime on one thread; each call returns its outputs by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.enable_cpu_mem_arena = False
    for key, value in (settings or {}).items():
        options.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(disabled)
    )
    names = [value.name for value in session.get_outputs()]
    inputs = {value.name: arrays[value.name] for value in session.get_inputs()}
    return lambda: dict(zip(names, session.run(names, inputs), strict=True))  # type: ignore[arg-type]
