"""Serves a SavedModel over TensorFlow Serving's protocol, for tests and trials."""
