"""What the graphs of a bundle may do: operations and custom calls by role and platform.

Only operations that compute arrays from arrays are listed, and control flow inside a graph. None
reads or writes a file, talks to the host or to another device, or calls a function by address. A
build checks what it wrote against these lists, so a compiler that starts to use another operation
shows there.
"""

from __future__ import annotations

from collections.abc import Iterable

_ELEMENTWISE = """
    abs add and atan2 bitcast_convert cbrt ceil clamp compare convert cosine count_leading_zeros
    divide exponential exponential_minus_one floor is_finite log log_plus_one logistic maximum
    minimum multiply negate not or popcnt power reduce_precision remainder round_nearest_afz
    round_nearest_even rsqrt select shift_left shift_right_arithmetic shift_right_logical sign sine
    sqrt subtract tan tanh xor
"""
_SHAPES = """
    broadcast_in_dim concatenate constant dot_general dynamic_slice dynamic_update_slice gather iota
    pad reduce reduce_window reshape reverse scatter slice transpose
"""
_STRUCTURE = "module func return call case if optimization_barrier"
_STEP = frozenset(f"{_ELEMENTWISE} {_SHAPES} {_STRUCTURE}".split())
# The router looks at the largest logits.
_ROUTER = _STEP | {"composite", "sort"}
# Rounds go on until the longest draft ends.
_ROUND = _ROUTER | {"while"}
STABLEHLO = {
    "prefill": _STEP,
    "insert": _STEP,
    "primary_block": _STEP,
    "drafter_step": _STEP,
    "router": _ROUTER,
    "round": _ROUND,
    "round_router": _ROUND,
    "generate": _ROUND,
}
COMPOSITES = frozenset({"chlo.top_k"})
# Memory that is set aside and not filled, on accelerators; a CPU fills it with zeros.
_EMPTY = frozenset({"AllocateBuffer"})
# A kernel in the call itself (`--attention kernel`): it runs on the TPU and sees its operands.
_KERNEL = frozenset({"tpu_custom_call"})
_ROUNDS = ("round", "round_router", "generate")
_KERNEL_ROLES = ("primary_block", "drafter_step", *_ROUNDS)


def custom_calls(role: str, platforms: Iterable[str]) -> frozenset[str]:
    """Returns the targets that a module of `role` may call on some of `platforms`."""
    where = set(platforms)
    empty = role in _ROUNDS and bool(where & {"tpu", "cuda", "rocm"})
    kernel = role in _KERNEL_ROLES and "tpu" in where
    none = frozenset[str]()
    return (_EMPTY if empty else none) | (_KERNEL if kernel else none)


# TensorFlow: variables, calls of functions, checks of inputs, compiled modules. Not among them:
# what writes files (SaveV2, MergeV2Checkpoints, WriteFile), opens them (ReadFile, datasets, tables)
# or leaves the graph (PyFunc, remote calls).
_TENSORFLOW = """
    Assert AssignVariableOp AsString Const DestroyResourceOp DisableCopyOnRead Equal Fill
    GatherV2 Identity NoOp PartitionedCall Placeholder RandomUniformInt ReadVariableOp RestoreV2
    StatefulPartitionedCall StringJoin VarHandleOp XlaCallModule
"""
TENSORFLOW = frozenset(_TENSORFLOW.split())
# ONNX: the default domain without control flow (If, Loop, Scan), strings, randomness and images.
_ONNX = """
    Abs Add And ArgMax ArgMin Attention BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast
    CastLike Ceil Clip Compress Concat Constant ConstantOfShape Cos CumSum DequantizeLinear Div
    Einsum Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater
    GreaterOrEqual Identity IsInf IsNaN LayerNormalization Less LessOrEqual Log LogSoftmax
    MatMul Max Min Mod Mul Neg Not OneHot Or Pad Pow RMSNormalization Range Reciprocal ReduceL2
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu Reshape
    RotaryEmbedding Round ScatterElements ScatterND Shape Sigmoid Sign Sin Slice Softmax
    Softplus Split Sqrt Squeeze Sub Swish Tanh TensorScatter Tile TopK Transpose Trilu Unsqueeze
    Where Xor
"""
ONNX = frozenset(_ONNX.split())
