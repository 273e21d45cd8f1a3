"""Rewrites a converted ONNX model."""
