"""The client's messages against those of tensorflow-serving-api and TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pool
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (  # noqa: F401  adds its messages to the default pool
    get_model_metadata_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from tandem_export.errors import ServingError
from tandem_export.serving.client import messages
from tandem_export.serving.client.protos import FIELDS, message

# protobuf makes its classes when the module is loaded.
_TENSOR: Any = getattr(tensor_pb2, "TensorProto")  # noqa: B009
_REQUEST: Any = getattr(predict_pb2, "PredictRequest")  # noqa: B009
NAMES = {"Dim": "tensorflow.TensorShapeProto.Dim", "Any": "google.protobuf.Any"}
INFERRED = ("TensorProto", "TensorShapeProto", "TensorInfo", "SignatureDef")
VALUES = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "scalar": np.array(-5, np.int32),
    "seed": np.array([[2**32 - 1, 0]], np.uint32),
    "strided": np.arange(8, dtype=np.int32).reshape(2, 4)[:, ::2],
}


def original(name: str):
    package = "tensorflow" if name in INFERRED else "tensorflow.serving"
    return descriptor_pool.Default().FindMessageTypeByName(NAMES.get(name, f"{package}.{name}"))


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_the_number_and_the_type_of_the_original(name) -> None:
    own = message(name).DESCRIPTOR
    for field in own.fields:
        other = original(name).fields_by_name[field.name]
        assert (field.number, field.is_repeated) == (other.number, other.is_repeated)
        if field.name == "dtype":  # there an enum
            assert other.type == other.TYPE_ENUM
        else:
            assert (field.type, field.is_packed) == (other.type, other.is_packed)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_request_is_read_by_the_original(value) -> None:
    request = messages.predict_request("pair", "round_b1_g3", {"x": value})
    read = _REQUEST.FromString(request.SerializeToString())
    assert (read.model_spec.name, read.model_spec.signature_name) == ("pair", "round_b1_g3")
    got = tf.make_ndarray(read.inputs["x"])
    assert (got.dtype, got.shape) == (value.dtype, value.shape)
    np.testing.assert_array_equal(got, value)


ANSWERS = {
    "bytes": tf.make_tensor_proto([[1.5, -2.0]], tf.float32),
    "one-by-one": _TENSOR(dtype=3, tensor_shape=tf.TensorShape([3]).as_proto(), int_val=[4, 5, 6]),
    "last-repeats": _TENSOR(
        dtype=22, tensor_shape=tf.TensorShape([2, 2]).as_proto(), uint32_val=[4, 5]
    ),
    "scalar": tf.make_tensor_proto(7, tf.int32),
    "empty": tf.make_tensor_proto(np.zeros((0, 4), np.float32)),
    "zeros": _TENSOR(dtype=1, tensor_shape=tf.TensorShape([2]).as_proto()),
}


@pytest.mark.parametrize("tensor", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_read_in_every_encoding(tensor) -> None:
    got = messages.read_array(message("TensorProto").FromString(tensor.SerializeToString()))
    want = tf.make_ndarray(tensor)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    np.testing.assert_array_equal(got, want)


def test_another_dtype_is_another_model() -> None:
    tensor = tf.make_tensor_proto(["text"]).SerializeToString()
    with pytest.raises(ServingError, match=r"data types \[1, 3, 22\]; is it another model"):
        messages.read_array(message("TensorProto").FromString(tensor))


def test_a_client_loads_no_engine() -> None:
    program = """
import sys, numpy as np
import tandem_export.runtime.executors.served.remote
from tandem_export.serving import connect, ClientOptions, Interrupted
for address in ("grpc://localhost:1", "http://localhost:1"):
    try:
        connect(address, model="m", options=ClientOptions(retries=0, deadline=5))
    except Interrupted:
        pass
print(sorted({"tensorflow", "jax", "tensorflow_serving"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
