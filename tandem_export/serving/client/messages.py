"""What a client says to TensorFlow Serving and hears from it, between arrays and messages."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tandem_export.errors import ServingError
from tandem_export.serving.client.protos import Message, message
from tandem_export.serving.protocol import MOST_VALUES, Field, Signature, check_signatures

# TensorFlow's `DataType`: its number, and the field of a `TensorProto` that holds such values one
# by one. Signatures take and give these three.
_DTYPES = {"float32": (1, "float_val"), "int32": (3, "int_val"), "uint32": (22, "uint32_val")}
_NAMES = {number: name for name, (number, _) in _DTYPES.items()}


def predict_request(model: str, signature: str, inputs: Mapping[str, np.ndarray]) -> Message:
    """Returns a `PredictRequest`."""
    request = message("PredictRequest")()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        tensor = request.inputs[name]
        tensor.dtype, _ = _DTYPES[value.dtype.name]
        for size in value.shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.tensor_content = value.astype(value.dtype.newbyteorder("<"), order="C").tobytes()
    return request


def read_array(tensor: Message) -> np.ndarray:
    """Reads a `TensorProto`: bytes, or values one by one, the last of which repeats.

    Raises:
      ServingError: another dtype than signatures have, or values that do not fit the shape.
    """
    name = _dtype_name(tensor.dtype)
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.tensor_content:
        size = len(tensor.tensor_content) // 4 * 4  # bytes; all three have 4 a value
        little = np.dtype(name).newbyteorder("<")
        values = np.frombuffer(tensor.tensor_content[:size], little).astype(name)
    else:
        _, field = _DTYPES[name]
        values = np.array(getattr(tensor, field), name)
    count = math.prod(shape)
    missing = 0 if tensor.tensor_content else count - len(values)
    if min(shape, default=0) < 0 or count > MOST_VALUES or len(values) + max(missing, 0) != count:
        rule = f"a served tensor must have the values of its shape, at most {MOST_VALUES}"
        raise ServingError(f"{rule}. Got: {len(values)} for shape {shape[:8]}")
    return np.pad(values, (0, missing), "edge" if len(values) else "constant").reshape(shape)


def metadata_request(model: str) -> Message:
    """Returns a `GetModelMetadataRequest` for the signatures."""
    request = message("GetModelMetadataRequest")()
    request.model_spec.name = model
    request.metadata_field.append("signature_def")
    return request


def read_signatures(answer: Message) -> dict[str, Signature]:
    """Returns the signatures in a `GetModelMetadataResponse`, TensorFlow's own left out.

    Raises:
      ServingError: the answer holds none, or as `check_signatures`.
    """
    from google.protobuf.message import DecodeError

    try:
        packed = message("SignatureDefMap").FromString(answer.metadata["signature_def"].value)
    except DecodeError as error:
        raise ServingError(f"the metadata must hold a SignatureDefMap. Got: {error}") from error
    return check_signatures(
        {
            name: Signature(_fields(definition.inputs), _fields(definition.outputs))
            for name, definition in packed.signature_def.items()
            if not name.startswith("__")
        }
    )


def _fields(infos: Message) -> dict[str, Field]:
    return {
        name: Field(tuple(dim.size for dim in info.tensor_shape.dim), _dtype_name(info.dtype))
        for name, info in infos.items()
    }


def _dtype_name(number: int) -> str:
    if number not in _NAMES:
        rule = f"a served tensor must have one of TensorFlow's data types {sorted(_NAMES)}"
        raise ServingError(f"{rule}; is it another model? Got: {number}")
    return _NAMES[number]
