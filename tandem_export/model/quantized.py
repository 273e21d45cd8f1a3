"""int8 weights: one scale per output channel, symmetric, widened where they are used.

A matrix `X.weight` becomes int8 and gets a companion `X.scale`: `[1, O]` of a linear map `[I, O]`,
`[V, 1]` of a token table `[V, D]`. The scale multiplies the result, not the weight, so a compiler
can stream the int8 bytes into the product. Norms, biases and the router, a few thousandths of the
bytes, stay as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from tandem_export.model.jitted import jit

_MOST = 127


@partial(jax.tree_util.register_dataclass, data_fields=["values", "scale"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class Int8:
    """A matrix of int8 `values` and the `scale` that broadcasts over it; used like an array.

    Only what the model does with a weight: `x @ w`, `w.T`, rows by id `w[ids]`, `w[...]`.
    """

    values: jax.Array
    scale: jax.Array

    def __rmatmul__(self, x: jax.Array) -> jax.Array:
        return int8_product(x, self.values, self.scale.reshape(-1))

    def __getitem__(self, ids: Any) -> Any:
        if ids is ...:
            return self
        return self.values[ids].astype(self.scale.dtype) * self.scale[ids]

    @property
    def T(self) -> Int8:
        """The transposed matrix."""
        return Int8(self.values.T, self.scale.T)


@jit
def int8_product(x: jax.Array, values: jax.Array, scale: jax.Array) -> jax.Array:
    """Multiplies x `[*M, I]` with int8 values `[I, O]`, then columns with their scale `[O]`."""
    wide = values.astype(x.dtype)
    return (x @ wide) * scale.reshape((1,) * (x.ndim - 1) + (-1,)).astype(x.dtype)


def scale_name(name: str) -> str:
    """Returns the companion of `X.weight`: `X.scale`."""
    return name.removesuffix("weight") + "scale"


def is_quantized(name: str, shape: tuple[int, ...]) -> bool:
    """Returns whether a tensor of primary or drafter is stored as int8: every matrix `X.weight`."""
    return name.endswith(".weight") and len(shape) == 2


def scale_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns the scales' shape: one for each row of a token table, each column of a matrix."""
    return (shape[0], 1) if name.endswith("embedding.weight") else (1, shape[1])


def quantize(params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the tensors of a primary or drafter with every matrix as int8 and its scale.

    w = scale * q, |q| <= 127, scale = max |w| / 127 of the channel, rounded to bfloat16 before w is
    divided by it: a bundle of either dtype then holds the very scale that q was made for. A channel
    of zeros has scale 1.
    """
    stored: dict[str, np.ndarray] = {}
    for name, tensor in params.items():
        if is_quantized(name, tensor.shape):
            stored[name], stored[scale_name(name)] = _quantized(name, tensor)
        else:
            stored[name] = tensor
    return stored


def _quantized(name: str, tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wide = np.asarray(tensor, np.float32)
    axis = 1 if scale_shape(name, tensor.shape)[1] == 1 else 0
    most = np.max(np.abs(wide), axis=axis, keepdims=True)
    scale = np.where(most > 0, most / _MOST, 1).astype(ml_dtypes.bfloat16).astype(np.float32)
    return np.clip(np.rint(wide / scale), -_MOST, _MOST).astype(np.int8), scale


def quantized_shapes(
    leaves: Mapping[str, jax.ShapeDtypeStruct],
) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns what `quantize` makes of tensors of these shapes; scales have the weight's dtype."""
    stored: dict[str, jax.ShapeDtypeStruct] = {}
    for name, leaf in leaves.items():
        stored[name] = leaf
        if is_quantized(name, leaf.shape):
            stored[name] = jax.ShapeDtypeStruct(leaf.shape, jnp.int8)
            shape = scale_shape(name, leaf.shape)
            stored[scale_name(name)] = jax.ShapeDtypeStruct(shape, leaf.dtype)
    return stored


def joined(params: Mapping[str, jax.Array]) -> dict[str, jax.Array | Int8]:
    """Returns the parameters; each int8 matrix and its scale become one `Int8`."""
    stored = [name for name, value in params.items() if value.dtype == jnp.int8]
    pairs = {name: scale_name(name) for name in stored if scale_name(name) in params}
    others = {name: value for name, value in params.items() if name not in pairs.values()}
    return others | {name: Int8(params[name], params[scale]) for name, scale in pairs.items()}
