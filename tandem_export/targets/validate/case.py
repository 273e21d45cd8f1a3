"""Draws the values on which a graph and its export are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import numpy as np

from tandem_export.contract import CacheName, is_cache, parse_cache_name, position_name
from tandem_export.graphs import Graph, Shapes
from tandem_export.targets.validate.arrays import Array, Arrays

_SEED = 20240213
_ALIGNMENT = 64  # bytes
# What fills the cache positions that no row may see. A key of it gives scores of infinity or NaN. A
# value must be finite, as a masked one is multiplied by the weight 0; any other weight on it shows.
POISON = {"k": np.float32(np.inf), "v": np.float32(1e30)}


@dataclass(frozen=True, kw_only=True)
class Case:
    """The arguments of one comparison, by name; `poisoned` says whether the caches hold poison."""

    params: dict[str, Array]
    state: dict[str, np.ndarray]
    inputs: dict[str, np.ndarray]
    poisoned: bool = False


def draw_case(graph: Graph, tensors: Arrays | None = None, *, empty: bool = False) -> Case:
    """Draws the arguments of a graph: every row at another position, poison from there on.

    Args:
      graph: its sizes are numbers.
      tensors: the parameters, for an export that holds its weights; None draws random ones.
      empty: caches and registers are zeros and every row begins, for an export that keeps its state
        to itself.
    """
    rng = np.random.default_rng(_SEED)
    params = _params(graph, rng) if tensors is None else {n: tensors[n] for n in graph.params}
    state, inputs = random_values(graph.state, rng), random_values(graph.inputs, rng)
    position = _positions(graph)
    if empty:
        state = {name: np.zeros_like(value) for name, value in state.items()}
        position = {name: np.zeros_like(value) for name, value in position.items()}
    state |= {name: value for name, value in position.items() if name in state}
    inputs |= {name: value for name, value in position.items() if name in inputs}
    if empty or not position:
        return Case(params=params, state=state, inputs=inputs)
    [rows] = position.values()
    caches = {name: cache for name in state if (cache := parse_cache_name(name)) is not None}
    state |= {name: _poison(state[name], cache, rows) for name, cache in caches.items()}
    return Case(params=params, state=state, inputs=inputs, poisoned=bool(caches))


def _positions(graph: Graph) -> dict[str, np.ndarray]:
    """Returns the array of positions by name: from the last where a block fits down to 0."""
    name = position_name(graph.role)
    if name is None or name not in graph.state | graph.inputs:
        return {}
    lengths = [leaf.shape[2] for cache, leaf in graph.state.items() if is_cache(cache)]
    room = min(lengths, default=graph.width or 0) - (graph.width or 0)
    return {name: np.linspace(room, 0, graph.batch).astype(np.int32)}


def _poison(cache: np.ndarray, name: CacheName, position: np.ndarray) -> np.ndarray:
    unseen = np.arange(cache.shape[2])[None] >= position[:, None]
    return np.where(unseen[:, None, :, None], POISON[name.kind].astype(cache.dtype), cache)


def _params(graph: Graph, rng: np.random.Generator) -> dict[str, Array]:
    return {name: _draw_param(leaf, rng) for name, leaf in sorted(graph.params.items())}


def _draw_param(leaf: jax.ShapeDtypeStruct, rng: np.random.Generator) -> jax.Array:
    """Draws values; floats are centred, so that activations neither grow nor have one sign."""
    value = _draw(leaf, rng)
    if value.dtype.kind not in "iub":
        value -= np.asarray(0.5, value.dtype)
        value *= np.asarray(0.1, value.dtype)
    return jax.numpy.asarray(value)


def random_values(shapes: Shapes, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns small values that any graph can take: floats in 0.05 .. 0.95, integers 1 or 2."""
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
    """Returns an empty float32 array at an address that jax takes over without a copy."""
    size = math.prod(shape) * 4
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(np.float32).reshape(shape)
