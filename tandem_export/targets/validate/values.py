"""Runs an exported graph and the function it came from on the same random values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from tandem_export.graphs import Graph, Shapes
from tandem_export.storage.memory import return_free_memory
from tandem_export.targets.validate.rounding import allowances, check_distance

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
      ValueMismatchError: a result differs by more than `allowances`, or is NaN; the text names it.
    """
    rng = np.random.default_rng(_SEED)
    values = (
        {name: _draw_param(leaf, rng) for name, leaf in sorted(graph.params.items())},
        random_values(graph.state, rng),
        random_values(graph.inputs, rng),
    )
    with _compiled(graph.function) as run:
        want = run(*values)
        allowed = allowances(run, values, want)
    with _compiled(exported.call) as run:
        got = run(*values)
    wheres = {name: f"{graph.name}: {name}" for name in want}
    return max(check_distance(wheres[n], want[n], got[n], allowed[n]) for n in want)


@contextmanager
def _compiled(function: Any) -> Iterator[Any]:
    """The function with its results under names such as `output 'logits'`."""
    options = _CPU_OPTIONS if jax.default_backend() == "cpu" else None
    compiled: Any = jax.jit(function, compiler_options=options)

    def run(*arguments: Any) -> dict[str, np.ndarray]:
        parts = zip(("output", "state"), compiled(*arguments), strict=True)
        return {f"{part} {n!r}": np.asarray(v) for part, own in parts for n, v in own.items()}

    try:
        yield run
    finally:  # or every graph of a build stays in memory
        compiled.clear_cache()
        return_free_memory()
