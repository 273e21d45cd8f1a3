"""The operator set, and the operators that an exported graph may use.

Those that the conversion of every model family emits, and that ONNX Runtime and OpenVINO were seen
to run with the right values. Einsum is not among those of weights: see the checks.
"""

# ONNX Runtime and OpenVINO both run all of it; later sets have operators that one of them lacks.
OPSET, IR_VERSION = 23, 10
ALLOWED = frozenset(
    {
        "Add", "And", "Cast", "Concat", "Constant", "Cos", "DequantizeLinear", "Div", "Exp",
        "Expand", "Gather", "Gelu", "Gemm", "GreaterOrEqual", "Identity", "Less", "Log", "MatMul",
        "Max", "Mul", "Neg", "Pow", "RMSNormalization", "Range", "ReduceMax", "ReduceMean",
        "ReduceSum", "ReduceSumSquare", "Reshape", "RotaryEmbedding", "Shape", "Sigmoid", "Sin",
        "Slice", "Sqrt", "Squeeze", "Sub", "Tanh", "TopK", "Transpose", "Unsqueeze", "Where",
    }
)  # fmt: skip
