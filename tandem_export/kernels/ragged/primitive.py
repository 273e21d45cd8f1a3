"""One operation for every platform: the kernel where lowered for TPU, elsewhere the reference.

A `jax.lax.platform_dependent` of both cannot be exported for several platforms at once: it lowers
the kernel for the CPU too, which Pallas refuses. A primitive is lowered for each platform by the
rule of that platform alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax.sharding import AbstractDevice, AbstractMesh
from jaxtyping import Array, Float, Int

from tandem_export.errors import ConfigError
from tandem_export.kernels.ragged.kernel import kernel
from tandem_export.kernels.ragged.reference import reference

# Pallas lowers for a kind of chip; export runs where there is none.
_CHIP = AbstractMesh(
    (1,),
    ("chip",),
    abstract_device=AbstractDevice(device_kind="TPU v5 lite", num_cores=1, platform="tpu"),
)


def ragged_attention(
    q: Float[Array, "B T N H"],
    k_cache: Float[Array, "B K S H"],
    v_cache: Float[Array, "B K S H"],
    k_block: Float[Array, "B K T H"],
    v_block: Float[Array, "B K T H"],
    start: Int[Array, " B"],
    *,
    scale: float,
    softcap: float | None = None,
    window: int | None = None,
) -> Float[Array, "B T N H"]:
    """Computes attention of a block of T tokens, under one softmax, over a cache and over itself.

    Args:
      q: float32 or bfloat16 queries of the tokens at `start .. start + T - 1` of each row.
      k_cache: keys; of row b the first `start[b]` are read.
      v_cache: values likewise.
      k_block: the block's own keys, which are not in the cache yet; token t sees the first t + 1.
      v_block: the block's own values.
      start: int32, how many positions of its cache each row has filled, 0 .. S.
      scale: factor on q k^T.
      softcap: cap * tanh(x / cap) on the scores, Gemma 2; None is off.
      window: how many positions a token sees, itself included; None is all.

    Raises:
      ConfigError: where it is lowered for TPU: the kernel does not take these shapes.
    """
    return _ragged_attention.bind(
        q,
        k_cache,
        v_cache,
        k_block,
        v_block,
        start,
        scale=scale,
        softcap=softcap,
        window=window,
    )


def _lower_for_tpu(context: mlir.LoweringRuleContext, *arguments: Any, **parameters: Any) -> Any:
    lower = mlir.lower_fun(kernel, multiple_results=False)
    with jax.sharding.use_abstract_mesh(_CHIP):
        try:
            return lower(context, *arguments, **parameters)
        except ConfigError:
            raise
        except Exception as error:  # Pallas has many classes, all private
            shapes = ", ".join(str(leaf) for leaf in context.avals_in)
            hint = "Build with `attention` two_part or in_cache."
            raise ConfigError(
                f"`attention` kernel: the TPU's kernel compiler refuses {shapes}. {hint} {error}"
            ) from error


_ragged_attention = Primitive("ragged_attention")
_ragged_attention.def_abstract_eval(lambda q, *others, **parameters: q)
_ragged_attention.def_impl(
    lambda *arguments, **parameters: jax.jit(partial(_ragged_attention.bind, **parameters))(
        *arguments
    )
)
mlir.register_lowering(
    _ragged_attention, mlir.lower_fun(reference, multiple_results=False), platform=None
)
mlir.register_lowering(_ragged_attention, _lower_for_tpu, platform="tpu")
