"""Runs ONNX graphs, with caches in host memory: ONNX Runtime and OpenVINO."""
