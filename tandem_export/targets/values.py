"""Runs an exported graph and the function it came from on the same random values."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from tandem_export.graphs import Graph, Shapes
from tandem_export.memory import return_free_memory
from tandem_export.targets.errors import ValueMismatchError

# Largest absolute difference allowed, by dtype; all others must be equal. Both sides go through the
# same compiler, and the measured difference is 0 on CPU in float32 and bfloat16: the room is for
# compilers that fuse the two modules differently.
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-3}
_SEED = 20240213
_ALIGNMENT = 64  # bytes
# Only the meaning of the modules is compared, and this halves the time to compile them.
_CPU_OPTIONS = {"xla_backend_optimization_level": 0}


def random_values(shapes: Shapes, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Small values that any graph can take: floats in 0.05 .. 0.95, integers 1 or 2."""
    return {name: _draw(leaf, rng) for name, leaf in sorted(shapes.items())}


def _draw(leaf: jax.ShapeDtypeStruct, rng: np.random.Generator) -> np.ndarray:
    if np.issubdtype(leaf.dtype, np.integer) or leaf.dtype == bool:
        return rng.integers(1, 3, leaf.shape).astype(leaf.dtype)
    # In float32 and in place: a large model's embedding is half of its weights.
    value = rng.random(dtype=np.float32, out=_aligned(leaf.shape))
    value *= 0.9
    value += 0.05
    return value.astype(leaf.dtype, copy=False)


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """An empty float32 array at an address that jax takes over without a copy."""
    size = math.prod(shape) * 4
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(np.float32).reshape(shape)


def _draw_param(leaf: jax.ShapeDtypeStruct, rng: np.random.Generator) -> jax.Array:
    """Floats are centred, so that activations neither grow nor all have one sign."""
    value = _draw(leaf, rng)
    if value.dtype.kind not in "iub":
        value -= np.asarray(0.5, value.dtype)
        value *= np.asarray(0.1, value.dtype)
    return jnp.asarray(value)


def check_values(exported: export.Exported, graph: Graph) -> float:
    """Largest absolute difference between the exported graph and its function.

    Raises:
      ValueMismatchError: a result differs by more than `TOLERANCE`, or is NaN; the text names it.
    """
    rng = np.random.default_rng(_SEED)
    values = (
        {name: _draw_param(leaf, rng) for name, leaf in sorted(graph.params.items())},
        random_values(graph.state, rng),
        random_values(graph.inputs, rng),
    )
    want, got = _run(graph.function, values), _run(exported.call, values)
    worst = 0.0
    for part, wanted, given in zip(("output", "state"), want, got, strict=True):
        for name in wanted:
            where = f"{graph.name}: {part} {name!r}"
            worst = max(worst, _difference(where, wanted[name], given[name]))
    return worst


def _run(function: Any, values: tuple[Any, ...]) -> Any:
    options = _CPU_OPTIONS if jax.default_backend() == "cpu" else None
    compiled: Any = jax.jit(function, compiler_options=options)
    try:
        return jax.tree.map(np.asarray, compiled(*values))
    finally:  # or every graph of a build stays in memory
        compiled.clear_cache()
        return_free_memory()


def _difference(where: str, want: np.ndarray, got: np.ndarray) -> float:
    allowed = TOLERANCE.get(want.dtype.name, 0.0)
    wide, own = want.astype(np.float64), got.astype(np.float64)
    if np.isnan(wide).any() or np.isnan(own).any():
        raise ValueMismatchError(f"{where} must be free of NaN on random values. Got: NaN")
    with np.errstate(invalid="ignore"):
        worst = float(np.max(np.where(wide == own, 0.0, np.abs(wide - own)), initial=0.0))
    if worst > allowed:
        rule = f"must be within {allowed:g} of the traced function"
        raise ValueMismatchError(f"{where} {rule}. Got: largest difference {worst:.3g}")
    return worst
