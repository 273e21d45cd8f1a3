"""The REST wire: TensorFlow Serving's predict API, JSON in columns."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult

import numpy as np

from tandem_export.errors import ServingError
from tandem_export.serving.client import ClientOptions
from tandem_export.serving.protocol import Field, Interrupted, Signature, refused

_PORT = 8501
_DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64"}
_GATEWAY = (502, 503, 504)


class RestWire:
    """See `Wire`."""

    def __init__(self, address: SplitResult, model: str, options: ClientOptions) -> None:
        """Sends nothing yet."""
        where = f"{address.hostname}:{address.port or _PORT}"
        self._url = f"{address.scheme}://{where}/v1/models/{model}"
        self._options = options
        self._trust = _trust(options) if address.scheme == "https" else None

    def read_signatures(self) -> dict[str, Signature]:
        """See `Wire.read_signatures`."""
        answer = self._ask("metadata", f"{self._url}/metadata", None)
        found = answer["metadata"]["signature_def"]["signature_def"]
        return {
            name: Signature(_fields(own["inputs"]), _fields(own["outputs"]))
            for name, own in found.items()
            if not name.startswith("__")
        }

    def send(
        self, signature: str, own: Signature, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """See `Wire.send`."""
        columns = {name: value.tolist() for name, value in inputs.items()}
        body = {"signature_name": signature, "inputs": columns}
        outputs = self._ask(signature, f"{self._url}:predict", body)["outputs"]
        if len(own.outputs) == 1:  # the server then leaves the name out
            outputs = {next(iter(own.outputs)): outputs}
        return {n: np.array(v, own.outputs[n].dtype) for n, v in outputs.items()}

    def _ask(self, what: str, url: str, body: dict[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        deadline = self._options.deadline
        try:
            with urllib.request.urlopen(request, timeout=deadline, context=self._trust) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise _explain(what, url, error.code, error.read().decode(errors="replace")) from error
        except (OSError, http.client.HTTPException) as error:
            rule = f"must answer within {deadline:g} s (`deadline`); is the server up?"
            raise Interrupted(f"{what} at {url} {rule} Got: {error}") from error

    def close(self) -> None:
        """See `Wire.close`; every request has its own connection."""


def _trust(options: ClientOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.root_certificates)
    if options.certificate is not None:
        context.load_cert_chain(options.certificate, options.private_key)
    return context


def _explain(what: str, url: str, status: int, text: str) -> Exception:
    try:
        text = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        text = text[:300]  # a proxy's page
    found = refused(what, text)
    if found is not None:
        return found
    kind = Interrupted if status in _GATEWAY else ServingError
    return kind(f"{what} at {url} failed. Got: {status}: {text}")


def _fields(infos: Mapping[str, Any]) -> dict[str, Field]:
    return {
        name: Field(
            tuple(int(dim["size"]) for dim in info["tensor_shape"].get("dim", ())),
            _dtype(info["dtype"]),
        )
        for name, info in infos.items()
    }


def _dtype(code: str) -> str:
    return _DTYPES.get(code) or code.removeprefix("DT_").lower()
