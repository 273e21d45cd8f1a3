"""The ONNX target: graphs of the `rows` contract over the bundle's one weight file."""

from tandem_export.targets.onnx.build import README, build_onnx
from tandem_export.targets.onnx.operators import ALLOWED, OPSET

__all__ = ["ALLOWED", "OPSET", "README", "build_onnx"]
