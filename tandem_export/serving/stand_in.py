"""A stand-in for tensorflow_model_server: the same API over the same kind of loader, in Python.

For tests and measurements where the real server cannot be installed. It is not the real server: one
model, no batching, no version policy. `docs/tf-serving.md` says how to start the real one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent import futures
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np

from tandem_export.serving import messages
from tandem_export.serving.local import LocalModel
from tandem_export.serving.protocol import DEFAULT_SIGNATURE, Signature

_THREADS = 16


class Refusal(Exception):
    """An answer that is an error: gRPC's status name, and the text."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


class StandIn:
    """Serves one model over gRPC and REST on free ports of this machine, until it is closed.

    Attributes:
      grpc_address, rest_address: what a client connects to.
    """

    def __init__(
        self, folder: str | Path, name: str, *, tls: tuple[bytes, bytes] | None = None
    ) -> None:
        """Loads the version folder and starts.

        Args:
          folder: the version folder.
          name: the model's name.
          tls: private key and certificate chain (PEM), for gRPC.
        """
        import grpc

        from tandem_export.serving.stand_in_wires import rest_handler, servicer

        self._model, self._name = LocalModel(folder), name
        self._server = grpc.server(futures.ThreadPoolExecutor(_THREADS))
        add = messages.api().service.add_PredictionServiceServicer_to_server
        add(servicer(self), self._server)
        if tls is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
            self.grpc_address = f"grpc://127.0.0.1:{port}"
        else:
            trust = grpc.ssl_server_credentials([tls])
            self.grpc_address = (
                f"grpcs://localhost:{self._server.add_secure_port('localhost:0', trust)}"
            )
        self._server.start()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), rest_handler(self))
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.rest_address = f"http://127.0.0.1:{self._http.server_address[1]}"

    def load(self, folder: str | Path) -> None:
        """Serves another version, or the same one anew: all sessions are lost."""
        old, self._model = self._model, LocalModel(folder)
        old.close()

    def signatures(self, name: str) -> dict[str, Signature]:
        """The signatures of the model `name`.

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
        own = self.signatures(name).get(key)
        if own is None:
            raise Refusal("FAILED_PRECONDITION", f'Serving signature key "{key}" not found.')
        if set(own.inputs) != set(inputs):
            text = f"input keys must be {sorted(own.inputs)}. Got: {sorted(inputs)}"
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
