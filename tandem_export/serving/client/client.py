"""Clients of a TensorFlow Serving process, over gRPC and over REST."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar
from urllib.parse import SplitResult, urlsplit

import numpy as np

from tandem_export.errors import ConfigError
from tandem_export.serving.client.options import ClientOptions
from tandem_export.serving.protocol import Interrupted, Signature, check_call, is_repeatable

Answer = TypeVar("Answer")
SCHEMES = ("grpc", "grpcs", "http", "https")


class Wire(Protocol):
    """A transport to one model: each method is one request, sent once."""

    def read_signatures(self) -> dict[str, Signature]:
        """Asks the server for the model's signatures."""
        ...

    def send(
        self, signature: str, definition: Signature, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Calls a signature once; raises as `Model.call` does."""
        ...

    def close(self) -> None:
        """Gives up the connection."""
        ...


class Client:
    """A `Model` behind a wire. Calls may come from several threads.

    Attributes:
      signatures: by name, as the server listed them when the client was made.
    """

    def __init__(self, wire: Wire, options: ClientOptions) -> None:
        """Asks the server for the signatures.

        Raises:
          ServingError: the server does not answer, or does not serve the model.
        """
        self._wire, self._options = wire, options
        self.signatures = self._patiently(wire.read_signatures)

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Model.call`; repeats a call that got no answer only where that is safe."""
        definition = check_call(self.signatures, signature, inputs)
        if not is_repeatable(signature):
            return self._wire.send(signature, definition, inputs)
        return self._patiently(lambda: self._wire.send(signature, definition, inputs))

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        for attempt in range(self._options.retries):
            try:
                return ask()
            except Interrupted:
                time.sleep(self._options.backoff * 2**attempt)
        return ask()

    def close(self) -> None:
        """Gives up the connection."""
        self._wire.close()


def _parts(server: str) -> SplitResult | None:
    """Returns the parts of an address; None where its port or its host cannot be one."""
    try:
        parts = urlsplit(server)
        return parts if parts.port != 0 else None
    except ValueError:
        return None


def connect(server: str, *, model: str, options: ClientOptions | None = None) -> Client:
    """Returns a client of the server at `server`: `grpc://HOST:PORT`, or `grpcs`, `http`, `https`.

    The model's signatures are read at once.

    Raises:
      ConfigError: not such an address, or the package that the scheme needs is not installed.
      ServingError: the server does not answer, or does not serve `model`.
    """
    from tandem_export.serving.client.grpc import GrpcWire
    from tandem_export.serving.client.rest import RestWire

    chosen = options or ClientOptions()
    parts = _parts(server)
    if parts is None or parts.scheme not in SCHEMES or not parts.hostname:
        rule = f"`server` must be SCHEME://HOST:PORT with a scheme of {SCHEMES}"
        raise ConfigError(f"{rule}. Got: {server!r}")
    kind = GrpcWire if parts.scheme.startswith("grpc") else RestWire
    return Client(kind(parts, model, chosen), chosen)
