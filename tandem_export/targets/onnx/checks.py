"""Checks of one ONNX file against the graph it came from; they read what was written to disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from tandem_export.bundle import TensorPlace
from tandem_export.bundle.layout import WEIGHTS
from tandem_export.graphs import Graph
from tandem_export.targets.errors import (
    DtypeMismatchError,
    ExternalDataError,
    FileSizeError,
    InvalidModelError,
    NameMismatchError,
    OperatorError,
    ShapeMismatchError,
)
from tandem_export.targets.onnx.operators import ALLOWED

# Weights are external, so a graph is its operations alone.
LARGEST_FILE = 1_000_000


def check_file(path: Path, graph: Graph, places: Mapping[str, TensorPlace]) -> None:
    """Everything that can be seen without running the graph; external data is not read.

    Raises:
      FileSizeError: the file is larger than `LARGEST_FILE`.
      InvalidModelError: `onnx.checker` refuses the model, shape inference included.
      NameMismatchError, ShapeMismatchError, DtypeMismatchError: inputs or outputs.
      ExternalDataError: a weight does not point at its tensor in the weight store.
      OperatorError: an operator that is not allow-listed.
    """
    if path.stat().st_size > LARGEST_FILE:
        rule = f"must have at most {LARGEST_FILE} bytes; weights belong in {WEIGHTS}"
        raise FileSizeError(f"{graph.name}: its file {rule}. Got: {path.stat().st_size}")
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise InvalidModelError(f"{graph.name}: not a valid ONNX model: {error}") from error
    model = onnx.load(path, load_external_data=False)
    _check_values(graph.name, "inputs", model.graph.input, graph.state | graph.inputs)
    _check_values(graph.name, "outputs", model.graph.output, graph.outputs)
    _check_weights(graph, model, places)
    _check_operators(graph.name, model)


def _check_values(graph: str, part: str, values: Any, want: Mapping[str, Any]) -> None:
    got: dict[str, ValueInfoProto] = {value.name: value for value in values}
    if set(got) != set(want):
        raise NameMismatchError(f"{graph}: {part} must be {sorted(want)}. Got: {sorted(got)}")
    for name, leaf in want.items():
        where, kind = f"{graph}: {part} {name!r}", got[name].type.tensor_type
        shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
        if shape != tuple(leaf.shape):
            raise ShapeMismatchError(f"{where} must have shape {leaf.shape}. Got: {shape}")
        if kind.elem_type != helper.np_dtype_to_tensor_dtype(leaf.dtype):
            own = TensorProto.DataType.Name(kind.elem_type)
            raise DtypeMismatchError(f"{where} must have dtype {leaf.dtype}. Got: {own}")


def _check_weights(graph: Graph, model: ModelProto, places: Mapping[str, TensorPlace]) -> None:
    own = {t.name: t for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL}
    if set(own) != set(graph.params):
        rule = f"external tensors must be the parameters {sorted(graph.params)}"
        raise NameMismatchError(f"{graph.name}: {rule}. Got: {sorted(own)}")
    for name, tensor in own.items():
        place, data = places[name], {entry.key: entry.value for entry in tensor.external_data}
        want = {"location": WEIGHTS, "offset": str(place.offset), "length": str(place.length)}
        kind = helper.np_dtype_to_tensor_dtype(place.dtype)
        if data != want or tuple(tensor.dims) != place.shape or tensor.data_type != kind:
            rule = f"must be {place.shape} {place.dtype} at {want}"
            got = f"{tuple(tensor.dims)} {TensorProto.DataType.Name(tensor.data_type)} at {data}"
            raise ExternalDataError(f"{graph.name}: weight {name!r} {rule}. Got: {got}")


def _check_operators(graph: str, model: ModelProto) -> None:
    used = {(node.domain, node.op_type) for node in model.graph.node}
    strange = sorted(used - {("", name) for name in ALLOWED})
    if strange:
        rule = f"operators must be of the default domain and among {sorted(ALLOWED)}"
        raise OperatorError(f"{graph}: {rule}. Got: {strange}")
