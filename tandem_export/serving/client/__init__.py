"""Calls a served model over gRPC or REST."""

from tandem_export.serving.client.client import Client, connect
from tandem_export.serving.client.messages import predict_request
from tandem_export.serving.client.options import ClientOptions
from tandem_export.serving.client.protos import Message, message

__all__ = ["Client", "ClientOptions", "Message", "connect", "message", "predict_request"]
