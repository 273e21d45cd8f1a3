"""From jax's public jaxpr to ONNX.

`interpreter` walks the equations. `primitives` has the ONNX form of each primitive, `parts` that of
the model's jitted functions which ONNX has one operator for, `shaping` what both need to change
shapes, `graph` what they add to. Shapes are known, so nothing is written that a later pass would
have to take out.
"""

from tandem_export.targets.onnx.lower.interpreter import lower

__all__ = ["lower"]
