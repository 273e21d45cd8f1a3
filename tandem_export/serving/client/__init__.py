"""Calls a TensorFlow Serving server over gRPC or REST."""
