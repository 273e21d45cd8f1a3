"""Checks of one ONNX file against the graph it came from; they read what was written to disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, TypeProto, ValueInfoProto, helper

from tandem_export.bundle import WEIGHTS, TensorPlace
from tandem_export.graphs import Graph
from tandem_export.targets.errors import (
    ExternalDataError,
    FileSizeError,
    InvalidModelError,
    NameMismatchError,
    OperatorError,
)
from tandem_export.targets.onnx.operators import ALLOWED
from tandem_export.targets.validate.arrays import Described, check_arrays

# Weights are external, so a graph is its operations alone.
LARGEST_FILE = 1_000_000


def check_file(path: Path, graph: Graph, places: Mapping[str, TensorPlace]) -> None:
    """Checks everything that can be seen without running the graph; reads no external data.

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
    inputs, outputs = _described(model.graph.input), _described(model.graph.output)
    check_arrays(graph.name, "inputs", inputs, graph.state | graph.inputs)
    check_arrays(graph.name, "outputs", outputs, graph.outputs)
    _check_weights(graph, model, places)
    _check_operators(graph.name, model)


def _described(values: Iterable[ValueInfoProto]) -> dict[str, Described]:
    return {value.name: _describe(value.type.tensor_type) for value in values}


def _describe(kind: TypeProto.Tensor) -> Described:
    shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
    return Described(shape, helper.tensor_dtype_to_np_dtype(kind.elem_type).name)


def _check_weights(graph: Graph, model: ModelProto, places: Mapping[str, TensorPlace]) -> None:
    external = {
        t.name: t for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL
    }
    if set(external) != set(graph.params):
        rule = f"external tensors must be the parameters {sorted(graph.params)}"
        raise NameMismatchError(f"{graph.name}: {rule}. Got: {sorted(external)}")
    for name, tensor in external.items():
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
