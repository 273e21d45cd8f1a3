"""The building blocks of the decoder: linear map, RMSNorm, gated feed-forward.

Every linear map works on `[M, D]` with M = B * T: engines run a product of three axes at half the
speed. What ONNX has one operator for is a jitted function: a graph calls it by its name.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from tandem_export.config import DecoderConfig
from tandem_export.model.jitted import jit


class Linear(nnx.Module):
    """y = x @ weight (+ bias), weight `[in, out]`."""

    def __init__(self, size_in: int, size_out: int, *, bias: bool = False, rngs: nnx.Rngs) -> None:
        draw = jax.random.normal(rngs.params(), (size_in, size_out), jnp.float32)
        self.weight = nnx.Param(draw * size_in**-0.5)
        self.bias = nnx.Param(jnp.zeros((size_out,))) if bias else None

    def __call__(self, x: Float[Array, "*M I"]) -> Float[Array, "*M O"]:
        """Maps the last axis."""
        y = x @ self.weight[...]
        return y if self.bias is None else y + self.bias[...].reshape((1,) * (x.ndim - 1) + (-1,))


class RMSNorm(nnx.Module):
    """x / rms(x) * weight, or * (1 + weight); computed in float32, returned in x's dtype."""

    def __init__(self, size: int, config: DecoderConfig) -> None:
        self.weight = nnx.Param((jnp.zeros if config.norm_plus_one else jnp.ones)((size,)))
        self.eps, self.plus_one = config.norm_eps, config.norm_plus_one

    def __call__(self, x: Float[Array, "*M D"]) -> Float[Array, "*M D"]:
        """Normalises the last axis."""
        weight = self.weight[...].astype(jnp.float32)
        return rms_norm(x, weight + 1.0 if self.plus_one else weight, self.eps)


@jit
def rms_norm(
    x: Float[Array, "*M D"], gain: Float[Array, " D"], eps: float | Float[Array, ""]
) -> Float[Array, "*M D"]:
    """Divides x by its root mean square, times `gain`: in float32, returned in x's dtype."""
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide * wide, -1, keepdims=True)
    gain = gain.reshape((1,) * (x.ndim - 1) + gain.shape)
    return (wide * jax.lax.rsqrt(mean + eps) * gain).astype(x.dtype)


class FeedForward(nnx.Module):
    """down(act(gate(x)) * up(x)): SwiGLU or GeGLU."""

    def __init__(self, config: DecoderConfig, *, rngs: nnx.Rngs) -> None:
        sizes, bias = (config.width, config.ff_size), config.ff_bias
        self.gate = Linear(*sizes, bias=bias, rngs=rngs)
        self.up = Linear(*sizes, bias=bias, rngs=rngs)
        self.down = Linear(*sizes[::-1], bias=bias, rngs=rngs)
        self.gelu = config.activation == "gelu_tanh"

    def __call__(self, x: Float[Array, "M D"]) -> Float[Array, "M D"]:
        """Maps each row."""
        gate = self.gate(x)
        gate = gelu_tanh(gate) if self.gelu else jax.nn.silu(gate)
        return self.down(gate * self.up(x))


@jit
def gelu_tanh(x: Float[Array, "*M F"]) -> Float[Array, "*M F"]:
    """Computes GELU in its tanh form."""
    return jax.nn.gelu(x, approximate=True)
