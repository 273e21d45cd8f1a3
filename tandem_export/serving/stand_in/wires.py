"""The two wires of the stand-in: a PredictionService servicer, and a handler of REST requests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import numpy as np
import tensorflow as tf

from tandem_export.errors import ConfigError
from tandem_export.jsontypes import JsonObject
from tandem_export.serving.client import Message
from tandem_export.serving.protocol import Field, Signature
from tandem_export.serving.stand_in.refusal import Refusal

if TYPE_CHECKING:
    import grpc

# As the server reads them: https://www.tensorflow.org/tfx/serving/api_rest
_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+))?"
_GET, _POST = re.compile(_MODEL + r"(?P<metadata>/metadata)?"), re.compile(_MODEL + ":predict")


class Served(Protocol):
    """What both wires ask of the model; both raise `Refusal`."""

    def signatures(self, name: str) -> Mapping[str, Signature]:
        """Returns the signatures of the model `name`."""
        ...

    def version(self, name: str) -> str:
        """Returns the version of the model `name` that is served."""
        ...

    def predict(
        self, name: str, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Runs one."""
        ...


def add_services(served: Served, server: grpc.Server) -> None:
    """Adds a PredictionService and a ModelService over `served` to a gRPC server.

    Their messages are those of tensorflow-serving-api, and none of the client's own.

    Raises:
      ConfigError: tensorflow-serving-api is not installed.
    """
    import grpc

    names = ("predict_pb2", "get_model_metadata_pb2", "get_model_status_pb2")
    names += ("prediction_service_pb2_grpc", "model_service_pb2_grpc")
    try:
        modules = [import_module(f"tensorflow_serving.apis.{name}") for name in names]
    except ModuleNotFoundError as error:
        hint = "Install it: pip install --no-deps tensorflow-serving-api"
        raise ConfigError(f"the stand-in server needs {error.name!r}. {hint}") from error
    predict_api, metadata_api, status_api, service_api, model_service_api = modules

    def answering(
        method: Callable[[Message], Message],
    ) -> Callable[[object, Message, grpc.ServicerContext], Message]:
        def answer(self: object, request: Message, context: grpc.ServicerContext) -> Message:
            del self
            try:
                return method(request)
            except Refusal as error:
                context.abort(grpc.StatusCode[_status(error)], str(error))

        return answer

    def predict(request: Message) -> Message:
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        spec = request.model_spec
        response = predict_api.PredictResponse(model_spec=spec)
        for name, value in served.predict(spec.name, spec.signature_name, inputs).items():
            _put_values(response.outputs[name], value)
        return response

    def metadata(request: Message) -> Message:
        packed = metadata_api.SignatureDefMap()
        for name, (inputs, outputs) in served.signatures(request.model_spec.name).items():
            _put_fields(packed.signature_def[name].inputs, inputs)
            _put_fields(packed.signature_def[name].outputs, outputs)
        response = metadata_api.GetModelMetadataResponse(model_spec=request.model_spec)
        response.metadata["signature_def"].Pack(packed)
        return response

    def status(request: Message) -> Message:
        version = int(served.version(request.model_spec.name))
        if request.model_spec.HasField("version") and request.model_spec.version.value != version:
            raise Refusal("NOT_FOUND", _no_version(request.model_spec.name))
        response = status_api.GetModelStatusResponse()
        states = status_api.ModelVersionStatus.State
        response.model_version_status.add(version=version, state=states.Value("AVAILABLE"))
        return response

    methods = {"Predict": answering(predict), "GetModelMetadata": answering(metadata)}
    servicer = type("Servicer", (service_api.PredictionServiceServicer,), methods)()
    service_api.add_PredictionServiceServicer_to_server(servicer, server)
    own_status = {"GetModelStatus": answering(status)}
    model = type("ModelServicer", (model_service_api.ModelServiceServicer,), own_status)()
    model_service_api.add_ModelServiceServicer_to_server(model, server)


def _put_values(tensor: Message, value: np.ndarray) -> None:
    """Fills a `TensorProto` with values one by one, as the real server answers."""
    tensor.dtype = tf.as_dtype(value.dtype).as_datatype_enum
    tensor.tensor_shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
    field = {"float32": "float_val", "int32": "int_val", "uint32": "uint32_val"}[value.dtype.name]
    getattr(tensor, field).extend(value.reshape(-1).tolist())


def _put_fields(infos: Message, fields: Mapping[str, Field]) -> None:
    for name, field in fields.items():
        infos[name].dtype = tf.as_dtype(field.dtype).as_datatype_enum
        infos[name].tensor_shape.CopyFrom(tf.TensorShape(field.shape).as_proto())


def _status(error: Refusal) -> str:
    """Returns gRPC's name: `InvalidArgumentError` is TensorFlow's class for INVALID_ARGUMENT."""
    known = {"InvalidArgumentError": "INVALID_ARGUMENT", "NotFoundError": "NOT_FOUND"}
    return known.get(error.status, error.status if error.status.isupper() else "INTERNAL")


def rest_handler(served: Served) -> type[BaseHTTPRequestHandler]:
    """Returns a handler of TensorFlow Serving's REST requests: metadata, and predict in columns."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            match = _GET.fullmatch(self.path)
            if match is None:
                self._answer(self._malformed)
            elif match["metadata"]:
                self._answer(lambda: _metadata(served.signatures(match["name"])))
            else:
                self._answer(lambda: _status_of(served, match["name"], match["version"]))

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            match = _POST.fullmatch(self.path)
            if match is None:
                self._answer(self._malformed)
            else:
                self._answer(lambda: _predict(served, match["name"], data))

        def _malformed(self) -> JsonObject:
            raise Refusal("INVALID_ARGUMENT", f"Malformed request: {self.command} {self.path}")

        def _answer(self, make: Callable[[], JsonObject]) -> None:
            try:
                status, body = 200, make()
            except Refusal as error:
                status = 404 if _status(error) == "NOT_FOUND" else 400
                body = {"error": str(error)}
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    return Handler


def _status_of(served: Served, name: str, version: str | None) -> JsonObject:
    """Returns the answer of the server's model status API."""
    served_version = served.version(name)
    if version not in (None, served_version):
        raise Refusal("NOT_FOUND", _no_version(name))
    status = {"error_code": "OK", "error_message": ""}
    return {
        "model_version_status": [
            {"version": served_version, "state": "AVAILABLE", "status": status}
        ]
    }


def _no_version(name: str) -> str:
    return f"Could not find any versions of model {name}"


def _predict(served: Served, name: str, data: bytes) -> JsonObject:
    try:
        body = json.loads(data)
    except ValueError as error:
        raise Refusal("INVALID_ARGUMENT", f"JSON Parse error: {error}") from error
    key = body.get("signature_name", "")
    definition = served.signatures(name).get(key)
    dtypes = (
        {} if definition is None else {n: field.dtype for n, field in definition.inputs.items()}
    )
    inputs = {n: np.array(value, dtypes.get(n)) for n, value in body["inputs"].items()}
    outputs = {n: value.tolist() for n, value in served.predict(name, key, inputs).items()}
    return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}


def _metadata(signatures: Mapping[str, Signature]) -> JsonObject:
    listed = {
        name: {"inputs": _infos(definition.inputs), "outputs": _infos(definition.outputs)}
        for name, definition in signatures.items()
    }
    return {"metadata": {"signature_def": {"signature_def": listed}}}


def _infos(fields: Mapping[str, Field]) -> JsonObject:
    return {
        name: {
            "dtype": {"float32": "DT_FLOAT"}.get(field.dtype, f"DT_{field.dtype.upper()}"),
            "tensor_shape": {"dim": [{"size": str(size)} for size in field.shape]},
        }
        for name, field in fields.items()
    }
