"""The gRPC wire: PredictionService, one request a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult

import numpy as np

from tandem_export.errors import ConfigError, ServingError
from tandem_export.serving.client import messages
from tandem_export.serving.client.options import ClientOptions
from tandem_export.serving.client.protos import Message, message
from tandem_export.serving.protocol import (
    MOST_VALUES,
    Interrupted,
    Signature,
    check_answer,
    refused,
)

if TYPE_CHECKING:
    import grpc

# One request, and its deadline; the class is private in grpc.
Method = Callable[..., Message]
_PORT = 8500
_SERVICE = "/tensorflow.serving.PredictionService"
_MAX_BYTES = 4 * MOST_VALUES


class GrpcWire:
    """See `Wire`."""

    def __init__(self, address: SplitResult, model: str, options: ClientOptions) -> None:
        """Makes the channel; nothing is sent yet.

        Raises:
          ConfigError: grpcio or protobuf is not installed.
        """
        try:
            import grpc
        except ModuleNotFoundError as error:
            hint = "Install it: pip install 'tandem-export[serving]'"
            raise ConfigError(f"gRPC needs {error.name!r}. {hint}") from error
        self._grpc, self._model, self._options = grpc, model, options
        self._target = f"{address.hostname}:{address.port or _PORT}"
        self._channel = _channel(self._target, options if address.scheme == "grpcs" else None)
        self._predict = self._method("Predict", "PredictRequest", "PredictResponse")
        self._metadata = self._method(
            "GetModelMetadata", "GetModelMetadataRequest", "GetModelMetadataResponse"
        )

    def _method(self, name: str, request: str, answer: str) -> Method:
        return self._channel.unary_unary(
            f"{_SERVICE}/{name}",
            request_serializer=message(request).SerializeToString,
            response_deserializer=message(answer).FromString,
        )

    def read_signatures(self) -> dict[str, Signature]:
        """See `Wire.read_signatures`."""
        request = messages.metadata_request(self._model)
        return messages.read_signatures(self._ask("metadata", self._metadata, request))

    def send(
        self, signature: str, definition: Signature, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """See `Wire.send`."""
        request = messages.predict_request(self._model, signature, inputs)
        answer = self._ask(signature, self._predict, request)
        values = {name: messages.read_array(tensor) for name, tensor in answer.outputs.items()}
        return check_answer(signature, definition, values)

    def _ask(self, what: str, method: Method, request: Message) -> Message:
        try:
            return method(request, timeout=self._options.deadline)
        except self._grpc.RpcError as error:
            raise self._explain(what, error) from error

    def _explain(self, what: str, error: grpc.RpcError) -> Exception:
        code, text = error.code(), error.details() or ""
        codes = self._grpc.StatusCode
        where = f"{what} of model {self._model!r} at {self._target}"
        refusal = refused(what, text)
        if refusal is not None:
            return refusal
        if code == codes.DEADLINE_EXCEEDED:
            rule = f"must answer within {self._options.deadline:g} s (`deadline`)"
            return Interrupted(f"{where} {rule}. Got: no answer")
        if code in (codes.UNAVAILABLE, codes.CANCELLED, codes.ABORTED):
            return Interrupted(f"{where} cannot be reached; is the server up? Got: {text}")
        return ServingError(f"{where} failed. Got: {code.name}: {text}")

    def close(self) -> None:
        """See `Wire.close`."""
        self._channel.close()


def _channel(target: str, trust: ClientOptions | None) -> grpc.Channel:
    """Returns a channel to `target`; TLS where `trust` says whom to trust."""
    import grpc

    limits = [
        ("grpc.max_receive_message_length", _MAX_BYTES),
        ("grpc.max_send_message_length", _MAX_BYTES),
    ]
    if trust is None:
        return grpc.insecure_channel(target, limits)
    files = (trust.root_certificates, trust.private_key, trust.certificate)
    pems = [None if file is None else Path(file).read_bytes() for file in files]
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(*pems), limits)
