"""The two wires of the stand-in: a PredictionService servicer, and a handler of REST requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

import numpy as np

from tandem_export.serving import messages
from tandem_export.serving.protocol import Signature
from tandem_export.serving.stand_in import Refusal


class Served(Protocol):
    """What both wires ask of the model; both raise `Refusal`."""

    def signatures(self, name: str) -> Mapping[str, Signature]:
        """Of the model `name`."""
        ...

    def predict(
        self, name: str, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Runs one."""
        ...


def servicer(served: Served) -> Any:
    """A PredictionService over `served`."""
    import grpc

    api = messages.api()

    def answering(method: Callable[[Any], Any]) -> Callable[[Any, Any, Any], Any]:
        def answer(self: Any, request: Any, context: Any) -> Any:
            del self
            try:
                return method(request)
            except Refusal as error:
                context.abort(grpc.StatusCode[_status(error)], str(error))

        return answer

    def predict(request: Any) -> Any:
        inputs = {name: messages.array(value) for name, value in request.inputs.items()}
        spec = request.model_spec
        response = api.predict.PredictResponse(model_spec=spec)
        for name, value in served.predict(spec.name, spec.signature_name, inputs).items():
            messages.put_array(response.outputs[name], value)
        return response

    def metadata(request: Any) -> Any:
        packed = api.metadata.SignatureDefMap()
        for name, own in served.signatures(request.model_spec.name).items():
            messages.put_signature(packed.signature_def[name], own.inputs, own.outputs)
        response = api.metadata.GetModelMetadataResponse(model_spec=request.model_spec)
        response.metadata["signature_def"].Pack(packed)
        return response

    methods = {"Predict": answering(predict), "GetModelMetadata": answering(metadata)}
    return type("Servicer", (api.service.PredictionServiceServicer,), methods)()


def _status(error: Refusal) -> str:
    """GRPC's name: `InvalidArgumentError` is TensorFlow's class for INVALID_ARGUMENT."""
    known = {"InvalidArgumentError": "INVALID_ARGUMENT", "NotFoundError": "NOT_FOUND"}
    return known.get(error.status, error.status if error.status.isupper() else "INTERNAL")


def rest_handler(served: Served) -> type[BaseHTTPRequestHandler]:
    """A handler of TensorFlow Serving's REST requests: metadata, and predict in columns."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.removeprefix("/v1/models/").removesuffix("/metadata")
            self._answer(lambda: _metadata(served.signatures(name)))

        def do_POST(self) -> None:
            name = self.path.removeprefix("/v1/models/").removesuffix(":predict")
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(lambda: _predict(served, name, body))

        def _answer(self, make: Callable[[], dict[str, Any]]) -> None:
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

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    return Handler


def _predict(served: Served, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    key = body.get("signature_name", "")
    own = served.signatures(name).get(key)
    dtypes = {} if own is None else {n: field.dtype for n, field in own.inputs.items()}
    inputs = {n: np.array(value, dtypes.get(n)) for n, value in body["inputs"].items()}
    outputs = {n: value.tolist() for n, value in served.predict(name, key, inputs).items()}
    return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}


def _metadata(signatures: Mapping[str, Signature]) -> dict[str, Any]:
    listed = {
        name: {"inputs": _infos(own.inputs), "outputs": _infos(own.outputs)}
        for name, own in signatures.items()
    }
    return {"metadata": {"signature_def": {"signature_def": listed}}}


def _infos(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "dtype": {"float32": "DT_FLOAT"}.get(field.dtype, f"DT_{field.dtype.upper()}"),
            "tensor_shape": {"dim": [{"size": str(size)} for size in field.shape]},
        }
        for name, field in fields.items()
    }
