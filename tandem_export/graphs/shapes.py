"""Lists shapes and dtypes of a pair's parameters, of state, and of a round's inputs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from tandem_export.config import TandemConfig
from tandem_export.contract import REGISTERS, sampling_inputs
from tandem_export.graphs.graph import Shapes
from tandem_export.graphs.options import BuildOptions
from tandem_export.graphs.steps import cache_shapes
from tandem_export.model import PARTS, abstract, has_part, quantized_shapes


def leaf(shape: tuple[int, ...], dtype: DTypeLike = jnp.int32) -> jax.ShapeDtypeStruct:
    """Returns the description of an array."""
    return jax.ShapeDtypeStruct(shape, dtype)


def sampling_shapes(batch: int, *, router: bool) -> Shapes:
    """Returns the per-row inputs of a round."""
    inputs = sampling_inputs(router=router)
    return {row.name: leaf(row.shape(batch), jnp.dtype(row.dtype)) for row in inputs}


def param_shapes(config: TandemConfig, dtype: DTypeLike, quantize: str = "none") -> Shapes:
    """Returns every parameter of the pair under its bundle name, `part.tensor`; ids stay int32."""
    return {
        f"{part}.{name}": leaf(x.shape, dtype if x.dtype == jnp.float32 else x.dtype)
        for part in PARTS
        if has_part(config, part)
        for name, x in _stored(config, part, quantize).items()
    }


def _stored(config: TandemConfig, part: str, quantize: str) -> Shapes:
    shapes = abstract(config, part)
    return quantized_shapes(shapes) if quantize == "int8" and part != "router" else shapes


def state_shapes(config: TandemConfig, options: BuildOptions, batch: int) -> Shapes:
    """Returns caches and registers of `batch` rows."""
    registers = {name: leaf((batch,)) for name in REGISTERS}
    return caches(config, batch, options.cache, jnp.dtype(options.dtype)) | registers


def caches(config: TandemConfig, batch: int, length: int, dtype: DTypeLike) -> Shapes:
    """Returns the caches of both models, `batch` rows of `length` positions."""
    primary = cache_shapes("primary", config.primary, batch, length, dtype)
    return primary | cache_shapes("drafter", config.drafter, batch, length, dtype)
