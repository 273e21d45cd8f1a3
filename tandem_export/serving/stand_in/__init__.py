"""Serves a SavedModel over TensorFlow Serving's protocol, for tests and trials."""

from tandem_export.serving.stand_in.server import StandIn, Tls

__all__ = [
    "StandIn",
    "Tls",
]
