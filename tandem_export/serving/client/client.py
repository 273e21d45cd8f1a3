"""Clients of a TensorFlow Serving process, over gRPC and over REST."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import SplitResult, urlsplit

import numpy as np

from tandem_export.errors import ConfigError
from tandem_export.serving.protocol import Interrupted, Signature, check_call, is_repeatable
from tandem_export.values import is_real, is_whole

Answer = TypeVar("Answer")
# A day; sockets take no more than some hundred years. The last retry waits 2 ** retries backoffs.
_LONGEST, _MOST_RETRIES = 86_400, 20
SCHEMES = ("grpc", "grpcs", "http", "https")


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """How a client waits, repeats and trusts.

    Attributes:
      deadline: seconds that a call may take. The first call of a signature compiles it.
      retries: how often a call that is safe to repeat is sent again when no answer came.
      backoff: seconds before the first retry; doubled for each further one.
      root_certificates: PEM file, for `grpcs` and `https`; None trusts the system's.
      private_key, certificate: PEM files of the client, for servers that ask for one.
    """

    deadline: float = 120.0
    retries: int = 3
    backoff: float = 0.1
    root_certificates: str | Path | None = None
    private_key: str | Path | None = None
    certificate: str | Path | None = None

    def __post_init__(self) -> None:
        for name in ("deadline", "backoff"):
            seconds = getattr(self, name)
            if not is_real(seconds, 0, _LONGEST) or seconds == 0:
                rule = f"must be above 0, at most {_LONGEST} seconds"
                raise ConfigError(f"`{name}` {rule}. Got: {seconds!r}")
        if not is_whole(self.retries, 0, _MOST_RETRIES):
            rule = f"must be at least 0, at most {_MOST_RETRIES}"
            raise ConfigError(f"`retries` {rule}. Got: {self.retries!r}")
        if (self.private_key is None) != (self.certificate is None):
            got = {"private_key": self.private_key, "certificate": self.certificate}
            raise ConfigError(f"`private_key` and `certificate` must come together. Got: {got}")
        for name in ("root_certificates", "private_key", "certificate"):
            path = getattr(self, name)
            if path is not None and not (isinstance(path, str | Path) and os.path.isfile(path)):
                raise ConfigError(f"`{name}` must be a PEM file. Got: {str(path)!r}, no such file")


class Wire(Protocol):
    """A transport to one model: each method is one request, sent once."""

    def read_signatures(self) -> dict[str, Signature]:
        """Asks the server for the model's signatures."""
        ...

    def send(
        self, signature: str, own: Signature, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """One call; raises as `Model.call` does."""
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
        own = check_call(self.signatures, signature, inputs)
        if not is_repeatable(signature):
            return self._wire.send(signature, own, inputs)
        return self._patiently(lambda: self._wire.send(signature, own, inputs))

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
    """The parts of an address; None where its port or its host cannot be one."""
    try:
        parts = urlsplit(server)
        return parts if parts.port != 0 else None
    except ValueError:
        return None


def connect(server: str, *, model: str, options: ClientOptions | None = None) -> Client:
    """A client of the server at `server`: `grpc://HOST:PORT`, or `grpcs`, `http`, `https`.

    The model's signatures are read at once.

    Raises:
      ConfigError: not such an address, or the package that the scheme needs is not installed.
      ServingError: the server does not answer, or does not serve `model`.
    """
    from tandem_export.serving.client.grpc import GrpcWire
    from tandem_export.serving.client.rest import RestWire

    asked = options or ClientOptions()
    parts = _parts(server)
    if parts is None or parts.scheme not in SCHEMES or not parts.hostname:
        rule = f"`server` must be SCHEME://HOST:PORT with a scheme of {SCHEMES}"
        raise ConfigError(f"{rule}. Got: {server!r}")
    kind = GrpcWire if parts.scheme.startswith("grpc") else RestWire
    return Client(kind(parts, model, asked), asked)
