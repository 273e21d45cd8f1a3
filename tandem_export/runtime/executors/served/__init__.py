"""Runs a SavedModel that holds the state: in this process, or on TensorFlow Serving."""
