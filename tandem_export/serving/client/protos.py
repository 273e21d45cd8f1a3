"""The messages of TensorFlow Serving's API that a client sends and reads, without TensorFlow.

The API's own Python package, tensorflow-serving-api, takes the messages inside TensorFlow, and with
them all of TensorFlow. On the wire a message is field numbers and types only. So the fields used
here are listed with the numbers of tensorflow_serving/apis and tensorflow/core; a parser skips all
others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from tandem_export.errors import ConfigError

_PACKAGE = "tandem_export.serving"
_SCALARS = ("bytes", "float", "int32", "int64", "string", "uint32")
# protobuf makes classes of messages at run time: they have no types.
Message = Any
# Message -> field -> (number, type), as a .proto file would have them.
FIELDS: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Dim": {"size": (1, "int64")},
    "TensorShapeProto": {"dim": (2, "repeated Dim")},
    "TensorProto": {
        "dtype": (1, "int32"),  # an enum, which is an int32 on the wire
        "tensor_shape": (2, "TensorShapeProto"),
        "tensor_content": (4, "bytes"),
        "float_val": (5, "repeated float"),
        "int_val": (7, "repeated int32"),
        "uint32_val": (16, "repeated uint32"),
    },
    "ModelSpec": {"name": (1, "string"), "signature_name": (3, "string")},
    "PredictRequest": {"model_spec": (1, "ModelSpec"), "inputs": (2, "map TensorProto")},
    "PredictResponse": {"outputs": (1, "map TensorProto")},
    "PredictLog": {"request": (1, "PredictRequest")},
    "PredictionLog": {"predict_log": (6, "PredictLog")},
    "TensorInfo": {"dtype": (2, "int32"), "tensor_shape": (3, "TensorShapeProto")},
    "SignatureDef": {"inputs": (1, "map TensorInfo"), "outputs": (2, "map TensorInfo")},
    "SignatureDefMap": {"signature_def": (1, "map SignatureDef")},
    "Any": {"type_url": (1, "string"), "value": (2, "bytes")},
    "GetModelMetadataRequest": {
        "model_spec": (1, "ModelSpec"),
        "metadata_field": (2, "repeated string"),
    },
    "GetModelMetadataResponse": {"metadata": (2, "map Any")},
}


def message(name: str) -> Message:
    """Returns the class of a message of `FIELDS`.

    Raises:
      ConfigError: protobuf is not installed.
    """
    return _classes()[name]


@cache
def _classes() -> dict[str, Message]:
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ModuleNotFoundError as error:
        hint = "Install it: pip install 'tandem-export[serving]'"
        raise ConfigError(f"TensorFlow Serving's API needs {error.name!r}. {hint}") from error
    file = descriptor_pb2.FileDescriptorProto(
        name="tandem_export/serving.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in FIELDS.items():
        descriptor = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(descriptor, field, number, kind)
    # A pool of its own: TensorFlow may be in the process too, and fills the default one.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in FIELDS
    }


def _add_field(descriptor: Message, name: str, number: int, kind: str) -> None:
    label, _, of = kind.rpartition(" ")
    if label == "map":  # on the wire, a repeated message of key and value
        entry = descriptor.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, of)
        of = f"{descriptor.name}.{entry.name}"
    field = descriptor.field.add(name=name, number=number)
    field.label = field.LABEL_REPEATED if label else field.LABEL_OPTIONAL
    if of in _SCALARS:
        field.type = field.Type.Value(f"TYPE_{of.upper()}")
    else:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{of}"
