"""The REST wire: TensorFlow Serving's predict API, JSON in columns."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from functools import cache
from urllib.parse import SplitResult, quote

import numpy as np
from jsonschema.protocols import Validator

from tandem_export.errors import ServingError
from tandem_export.jsontypes import Json, JsonObject
from tandem_export.serving.client.http import TooLong, ask
from tandem_export.serving.client.options import ClientOptions
from tandem_export.serving.protocol import (
    Field,
    Interrupted,
    Signature,
    check_answer,
    check_signatures,
    refused,
)
from tandem_export.storage import first_breach, make_validator, parse_json

_PORT = 8501
_DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64"}
_GATEWAY = (502, 503, 504)
_SHOWN = 300
_TENSORS = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["dtype", "tensor_shape"],
        "properties": {
            "dtype": {"type": "string", "pattern": "^DT_[A-Z0-9]+$"},
            "tensor_shape": {
                "type": "object",
                "properties": {
                    "dim": {
                        "type": "array",
                        "maxItems": 32,
                        "items": {
                            "type": "object",
                            "required": ["size"],
                            "properties": {
                                "size": {"type": "string", "pattern": "^-?[0-9]{1,10}$"}
                            },
                        },
                    }
                },
            },
        },
    },
}
_SIGNATURES = {
    "type": "object",
    "patternProperties": {"^__": {}},  # TensorFlow's own
    "additionalProperties": {
        "type": "object",
        "required": ["inputs", "outputs"],
        "properties": {"inputs": _TENSORS, "outputs": _TENSORS},
    },
}


def _inside(names: tuple[str, ...], schema: JsonObject) -> JsonObject:
    for name in reversed(names):
        schema = {"type": "object", "required": [name], "properties": {name: schema}}
    return schema


_METADATA = _inside(("metadata", "signature_def", "signature_def"), _SIGNATURES)
_PREDICTION = _inside(("outputs",), {})


class RestWire:
    """See `Wire`."""

    def __init__(self, address: SplitResult, model: str, options: ClientOptions) -> None:
        """Sends nothing yet."""
        self._address = address._replace(netloc=f"{_host(address)}:{address.port or _PORT}")
        self._path = f"/v1/models/{quote(model, safe='')}"
        self._options = options
        self._trust = _trust(options) if address.scheme == "https" else None

    def read_signatures(self) -> dict[str, Signature]:
        """See `Wire.read_signatures`."""
        answer = self._ask("metadata", "/metadata", None, _METADATA)
        listed = answer["metadata"]["signature_def"]["signature_def"]
        return check_signatures(
            {
                name: Signature(_fields(definition["inputs"]), _fields(definition["outputs"]))
                for name, definition in listed.items()
                if not name.startswith("__")
            }
        )

    def send(
        self, signature: str, definition: Signature, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """See `Wire.send`."""
        columns = {name: value.tolist() for name, value in inputs.items()}
        body = {"signature_name": signature, "inputs": columns}
        outputs = self._ask(signature, ":predict", body, _PREDICTION)["outputs"]
        if len(definition.outputs) == 1:  # the server then leaves the name out
            outputs = {next(iter(definition.outputs)): outputs}
        named = outputs if isinstance(outputs, dict) else {}
        return check_answer(signature, definition, {n: _array(v) for n, v in named.items()})

    def _ask(self, what: str, rest: str, body: JsonObject | None, schema: JsonObject) -> JsonObject:
        data = None if body is None else json.dumps(body).encode()
        where = f"{what} at {self._address.geturl()}{self._path}{rest}"
        seconds = self._options.deadline
        try:
            status, text = ask(
                self._address, self._path + rest, data, seconds=seconds, trust=self._trust
            )
        except TooLong as error:
            raise ServingError(f"{where}: the answer is too long. Got: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            rule = f"must answer within {seconds:g} s (`deadline`); is the server up?"
            raise Interrupted(
                f"{where} {rule} Got: {str(error) or type(error).__name__}"
            ) from error
        if status != http.client.OK:
            raise _explain(what, where, status, text.decode("utf-8", "replace"))
        return _parse(text, where, schema)

    def close(self) -> None:
        """See `Wire.close`; every request has its own connection."""


def _host(address: SplitResult) -> str:
    host = address.hostname or ""
    return f"[{host}]" if ":" in host else host


def _trust(options: ClientOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.root_certificates)
    if options.certificate is not None:
        context.load_cert_chain(options.certificate, options.private_key)
    return context


@cache
def _validator(schema: str) -> Validator:
    return make_validator(json.loads(schema))


def _parse(text: bytes, where: str, schema: JsonObject) -> JsonObject:
    """Returns the answer, once it is known to have the form of TensorFlow Serving's."""
    # Lenient: the server writes NaN and infinities as Python does.
    values = parse_json(text, name=where, error=ServingError, lenient=True)
    breach = first_breach(_validator(json.dumps(schema)), values)
    if breach is not None:
        rule = f"the answer must be TensorFlow Serving's, at {breach.json_path}"
        raise ServingError(f"{where}: {rule}: {breach.message[:_SHOWN]}; is it another server?")
    return values


def _explain(what: str, where: str, status: int, text: str) -> Exception:
    try:
        values = parse_json(text, name=where, error=ServingError)
        text = str(values["error"]) if isinstance(values, dict) and "error" in values else text
    except ServingError:
        pass  # a proxy's page
    rejected = refused(what, text)
    if rejected is not None:
        return rejected
    kind = Interrupted if status in _GATEWAY else ServingError
    return kind(f"{where} failed. Got: {status}: {text[:_SHOWN]}")


def _array(value: Json) -> np.ndarray:
    """Returns the array that lists of lists make; an empty one of objects where they make none."""
    try:
        return np.array(value)
    except (ValueError, OverflowError):  # lists of different lengths
        return np.array([], object)


def _fields(infos: Mapping[str, Json]) -> dict[str, Field]:
    return {
        name: Field(
            tuple(int(dim["size"]) for dim in info["tensor_shape"].get("dim", ())),
            _dtype(info["dtype"]),
        )
        for name, info in infos.items()
    }


def _dtype(code: str) -> str:
    return _DTYPES.get(code) or code.removeprefix("DT_").lower()
