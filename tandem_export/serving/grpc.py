"""The gRPC wire: PredictionService, one request a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult

import numpy as np

from tandem_export.errors import ServingError
from tandem_export.serving import messages
from tandem_export.serving.client import ClientOptions
from tandem_export.serving.protocol import Field, Interrupted, Signature, refused

_PORT = 8500
# Prompts are small; logits of a primary block are not.
_MAX_BYTES = 256 * 2**20


class GrpcWire:
    """See `Wire`."""

    def __init__(self, address: SplitResult, model: str, options: ClientOptions) -> None:
        """Makes the channel; nothing is sent yet.

        Raises:
          ConfigError: tensorflow-serving-api is not installed.
        """
        self._api = messages.api()
        import grpc

        self._grpc, self._model, self._options = grpc, model, options
        self._target = f"{address.hostname}:{address.port or _PORT}"
        limits = [
            ("grpc.max_receive_message_length", _MAX_BYTES),
            ("grpc.max_send_message_length", _MAX_BYTES),
        ]
        if address.scheme == "grpcs":
            trust = grpc.ssl_channel_credentials(
                options.root_certificates, options.private_key, options.certificate
            )
            self._channel = grpc.secure_channel(self._target, trust, limits)
        else:
            self._channel = grpc.insecure_channel(self._target, limits)
        self._stub = self._api.service.PredictionServiceStub(self._channel)

    def read_signatures(self) -> dict[str, Signature]:
        """See `Wire.read_signatures`."""
        request = self._api.metadata.GetModelMetadataRequest()
        request.model_spec.name = self._model
        request.metadata_field.append("signature_def")
        answer = self._ask("metadata", self._stub.GetModelMetadata, request)
        packed = self._api.metadata.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(packed)
        return {
            name: Signature(_fields(own.inputs), _fields(own.outputs))
            for name, own in packed.signature_def.items()
            if not name.startswith("__")
        }

    def send(
        self, signature: str, own: Signature, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """See `Wire.send`."""
        del own  # every tensor says what it is
        request = messages.predict_request(self._model, signature, inputs)
        answer = self._ask(signature, self._stub.Predict, request)
        return {name: messages.array(value) for name, value in answer.outputs.items()}

    def _ask(self, what: str, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._options.deadline)
        except self._grpc.RpcError as error:
            raise self._explain(what, error) from error

    def _explain(self, what: str, error: Any) -> Exception:
        code, text = error.code(), error.details() or ""
        codes = self._grpc.StatusCode
        where = f"{what} of model {self._model!r} at {self._target}"
        found = refused(what, text)
        if found is not None:
            return found
        if code == codes.DEADLINE_EXCEEDED:
            rule = f"must answer within {self._options.deadline:g} s (`deadline`)"
            return Interrupted(f"{where} {rule}. Got: no answer")
        if code in (codes.UNAVAILABLE, codes.CANCELLED, codes.ABORTED):
            return Interrupted(f"{where} cannot be reached; is the server up? Got: {text}")
        return ServingError(f"{where} failed. Got: {code.name}: {text}")

    def close(self) -> None:
        """See `Wire.close`."""
        self._channel.close()


def _fields(infos: Any) -> dict[str, Field]:
    return {
        name: Field(
            tuple(dim.size for dim in info.tensor_shape.dim), messages.dtype_name(info.dtype)
        )
        for name, info in infos.items()
    }
