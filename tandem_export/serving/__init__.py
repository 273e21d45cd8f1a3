"""TensorFlow Serving: what signatures and callers agree on, clients, and a server's files."""

from tandem_export.serving.client import Client, ClientOptions, connect
from tandem_export.serving.files import write_serving_files
from tandem_export.serving.local import LocalModel
from tandem_export.serving.protocol import (
    CLAIM,
    DEFAULT_SIGNATURE,
    NO_FREE_SLOT,
    NOT_HELD,
    RELEASE,
    Field,
    Interrupted,
    Model,
    NotHeld,
    Signature,
    refusal,
    warmup_inputs,
)

__all__ = [
    "CLAIM",
    "DEFAULT_SIGNATURE",
    "NOT_HELD",
    "NO_FREE_SLOT",
    "RELEASE",
    "Client",
    "ClientOptions",
    "Field",
    "Interrupted",
    "LocalModel",
    "Model",
    "NotHeld",
    "Signature",
    "connect",
    "refusal",
    "warmup_inputs",
    "write_serving_files",
]
