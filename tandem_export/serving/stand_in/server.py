"""A stand-in for tensorflow_model_server: the same API over the same kind of loader, in Python.

For tests and measurements where the real server cannot be installed. It is not the real server: one
model, no batching, no version policy. `docs/how-to/tf-serving.md` says how to start the real one.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from concurrent import futures
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tandem_export.errors import ServingError
from tandem_export.serving.local import LocalModel
from tandem_export.serving.protocol import DEFAULT_SIGNATURE, Signature
from tandem_export.serving.stand_in.refusal import Refusal

if TYPE_CHECKING:
    import grpc

_THREADS = 16


@dataclass(frozen=True, kw_only=True)
class Tls:
    """PEM files of a server for `localhost`.

    Attributes:
      private_key, certificate: of the server; the certificate with its chain.
      clients: whose certificates every client must have; None: a client needs none.
    """

    private_key: Path
    certificate: Path
    clients: Path | None = None


class StandIn:
    """Serves one model over gRPC and REST on free ports of this machine, until it is closed.

    Attributes:
      grpc_address, rest_address: what a client connects to.
    """

    def __init__(
        self,
        folder: str | Path,
        name: str,
        *,
        tls: Tls | None = None,
        grpc_port: int = 0,
        rest_port: int = 0,
    ) -> None:
        """Loads the version folder and starts.

        Args:
          folder: the version folder.
          name: the model's name.
          tls: of both wires; None: plain ones.
          grpc_port: where to listen for gRPC; 0 is any free port.
          rest_port: where to listen for REST, likewise.

        Raises:
          ConfigError: tensorflow-serving-api is not installed.
          ServingError: a port is in use.
        """
        from tandem_export.serving.stand_in.wires import add_services, rest_handler

        self._model, self._name, self._version = LocalModel(folder), name, Path(folder).name
        self._server, port = _grpc_server(tls, grpc_port)
        add_services(self, self._server)
        self._server.start()
        self.grpc_address = f"grpc{'s' if tls else ''}://localhost:{port}"
        self._http = _http_server(rest_port, rest_handler(self))
        if tls is not None:
            self._http.socket = _ssl_context(tls).wrap_socket(self._http.socket, server_side=True)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.rest_address = f"http{'s' if tls else ''}://localhost:{self._http.server_port}"

    def load(self, folder: str | Path) -> None:
        """Serves another version, or the same one anew: all sessions are lost."""
        old, self._model = self._model, LocalModel(folder)
        self._version = Path(folder).name
        old.close()

    @property
    def model(self) -> LocalModel:
        """What is served now."""
        return self._model

    def version(self, name: str) -> str:
        """Returns the version of the model `name` that is served.

        Raises:
          Refusal: another model is served.
        """
        if name != self._name:
            raise Refusal("NOT_FOUND", f"Could not find any versions of model {name}")
        return self._version

    def signatures(self, name: str) -> dict[str, Signature]:
        """Returns the signatures of the model `name`.

        Raises:
          Refusal: another model is served.
        """
        if name != self._name:
            raise Refusal("NOT_FOUND", f"Servable not found for request: Latest({name})")
        return self._model.signatures

    def predict(
        self, name: str, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Runs a signature; `serving_default` if none is named.

        Raises:
          Refusal: what the server answers instead.
        """
        import tensorflow as tf

        key = signature or DEFAULT_SIGNATURE
        definition = self.signatures(name).get(key)
        if definition is None:
            raise Refusal("FAILED_PRECONDITION", f'Serving signature key "{key}" not found.')
        if set(definition.inputs) != set(inputs):
            text = f"input keys must be {sorted(definition.inputs)}. Got: {sorted(inputs)}"
            raise Refusal("INVALID_ARGUMENT", text)
        try:
            return self._model.run(key, inputs)
        except tf.errors.OpError as error:
            raise Refusal(type(error).__name__, error.message) from error
        except ValueError as error:  # a shape that cannot be fed
            raise Refusal("INVALID_ARGUMENT", str(error)) from error

    def close(self) -> None:
        """Stops both servers and frees the model."""
        self._server.stop(None).wait()
        self._http.shutdown()
        self._http.server_close()
        self._model.close()


def _http_server(port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("localhost", port), handler)
    except OSError as error:
        raise ServingError(f"port {port} of localhost must be free. Got: {error}") from error


def _grpc_server(tls: Tls | None, port: int) -> tuple[grpc.Server, int]:
    import grpc

    # By default a second server may share the port of the first.
    alone = [("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS), options=alone)
    place = f"localhost:{port}"
    try:
        if tls is None:
            return server, server.add_insecure_port(place)
        pair = tls.private_key.read_bytes(), tls.certificate.read_bytes()
        clients = None if tls.clients is None else tls.clients.read_bytes()
        trust = grpc.ssl_server_credentials([pair], clients, clients is not None)
        return server, server.add_secure_port(place, trust)
    except RuntimeError as error:
        raise ServingError(f"port {port} of localhost must be free. Got: {error}") from error


def _ssl_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.private_key)
    if tls.clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(tls.clients)
    return context
