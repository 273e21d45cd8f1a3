"""The operator set, and the operators that an exported graph may use.

Those that the graphs of every model family have, and that ONNX Runtime and OpenVINO were seen to
run with the right values.
"""

# ONNX Runtime and OpenVINO both run all of it; later sets have operators that one of them lacks.
OPSET, IR_VERSION = 23, 10
ALLOWED = frozenset(
    {
        "Add", "And", "Cast", "Concat", "Cos", "DequantizeLinear", "Div", "Exp", "Expand", "Gather",
        "Gelu", "Gemm", "GreaterOrEqual", "Identity", "Less", "Log", "MatMul", "Max", "Mul", "Neg",
        "RMSNormalization", "Range", "ReduceMax", "ReduceSum", "Reshape", "RotaryEmbedding",
        "Sigmoid", "Sin", "Slice", "Sub", "Tanh", "TopK", "Transpose", "Where",
    }
)  # fmt: skip
