"""TensorFlow Serving's messages: made, read and stored with the generated classes of its API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tandem_export.errors import ConfigError


def api() -> SimpleNamespace:
    """The modules of tensorflow-serving-api that are used here, by short name.

    Raises:
      ConfigError: it is not installed.
    """
    try:
        from tensorflow_serving.apis import (
            get_model_metadata_pb2,
            predict_pb2,
            prediction_log_pb2,
            prediction_service_pb2_grpc,
        )
    except ModuleNotFoundError as error:
        hint = "pip install --no-deps tensorflow-serving-api; pip install grpcio tensorflow-cpu"
        rule = f"TensorFlow Serving's API needs the package {error.name!r}"
        raise ConfigError(f"{rule}. Install it: {hint}") from error
    return SimpleNamespace(
        metadata=get_model_metadata_pb2,
        predict=predict_pb2,
        log=prediction_log_pb2,
        service=prediction_service_pb2_grpc,
    )


def predict_request(model: str, signature: str, inputs: Mapping[str, np.ndarray]) -> Any:
    """A `PredictRequest`."""
    request = api().predict.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        put_array(request.inputs[name], value)
    return request


def put_array(proto: Any, value: np.ndarray) -> None:
    """Fills a `TensorProto` with a dense array, its bytes as they lie in memory."""
    import tensorflow as tf

    dense = np.asarray(value, order="C")
    proto.dtype = tf.as_dtype(dense.dtype).as_datatype_enum
    for size in dense.shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = dense.tobytes()


def put_signature(proto: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    """Fills a `SignatureDef`; the values have `shape` and `dtype` (numpy's name)."""
    import tensorflow as tf

    for infos, fields in ((proto.inputs, inputs), (proto.outputs, outputs)):
        for name, field in fields.items():
            infos[name].dtype = tf.as_dtype(field.dtype).as_datatype_enum
            for size in field.shape:
                infos[name].tensor_shape.dim.add(size=size)


def dtype_name(code: int) -> str:
    """Numpy's name of a `DataType`."""
    import tensorflow as tf

    return tf.as_dtype(code).name


def array(proto: Any) -> np.ndarray:
    """The array of a `TensorProto`, in any of its encodings."""
    import tensorflow as tf

    return tf.make_ndarray(proto)


def write_warmup(path: Path, requests: Iterable[Any]) -> None:
    """Writes requests that a server replays before a version takes traffic."""
    import tensorflow as tf

    log = api().log
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for request in requests:
            entry = log.PredictionLog(predict_log=log.PredictLog(request=request))
            file.write(entry.SerializeToString())


def read_warmup(path: Path) -> list[Any]:
    """The requests in a warm-up file."""
    import tensorflow as tf

    log = api().log
    records = tf.data.TFRecordDataset(str(path))
    return [log.PredictionLog.FromString(record.numpy()).predict_log.request for record in records]
