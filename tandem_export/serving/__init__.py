"""TensorFlow Serving: what signatures and callers agree on, clients, and a server's files."""

from tandem_export.serving.client.client import Client, ClientOptions, connect
from tandem_export.serving.local import LocalModel
from tandem_export.serving.protocol import Field, Interrupted, Model, NotHeld, Signature

__all__ = [
    "Client",
    "ClientOptions",
    "Field",
    "Interrupted",
    "LocalModel",
    "Model",
    "NotHeld",
    "Signature",
    "connect",
]
