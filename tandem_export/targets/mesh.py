"""Where each argument of a graph lies on a mesh of chips.

Only arguments are placed; XLA's partitioner finds the rest and puts the sums in. The mesh is
abstract: no device is needed to export.
"""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from tandem_export.config import TandemConfig
from tandem_export.graphs.spec import Graph
from tandem_export.sharding import split_axis, splits_heads

AXIS = "chips"


def abstract_mesh(chips: int) -> AbstractMesh:
    """`chips` in a row, no devices behind them."""
    return AbstractMesh((chips,), (AXIS,), axis_types=(AxisType.Auto,))


def split_names(graph: Graph, config: TandemConfig, chips: int) -> dict[str, int]:
    """The axis of each parameter and cache of `graph` that is split between `chips`."""
    weights = {name: _weight_axis(name, leaf, config, chips) for name, leaf in graph.params.items()}
    caches = {name: _cache_axis(name, leaf, config, chips) for name, leaf in graph.state.items()}
    return {name: axis for name, axis in (weights | caches).items() if axis is not None}


def placement(
    graph: Graph, config: TandemConfig, mesh: AbstractMesh | Mesh
) -> tuple[tuple[Any, Any, Any], tuple[Any, Any]]:
    """Shardings of (params, state, inputs) and of (outputs, state), for `jax.jit`.

    Logits stay split by the vocabulary: gathering them on every chip would move more than the rest
    of a wide block.
    """
    axes = split_names(graph, config, mesh.size)

    def place(axis: int | None) -> NamedSharding:
        spec = PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, AXIS)
        return NamedSharding(mesh, spec)

    params, state, inputs = (
        {name: place(axes.get(name)) for name in part}
        for part in (graph.params, graph.state, graph.inputs)
    )
    returned, _ = jax.eval_shape(graph.function, graph.params, graph.state, graph.inputs)
    outputs = {n: place(_output_axis(leaf, config, mesh.size)) for n, leaf in returned.items()}
    return (params, state, inputs), (outputs, state)


def _weight_axis(name: str, leaf: Any, config: TandemConfig, chips: int) -> int | None:
    part, own = name.split(".", 1)
    return None if part == "router" else split_axis(own, leaf.shape, getattr(config, part), chips)


def _output_axis(leaf: Any, config: TandemConfig, chips: int) -> int | None:
    by_token = leaf.ndim > 1 and leaf.shape[-1] == config.primary.vocab_size
    return leaf.ndim - 1 if by_token and leaf.shape[-1] % chips == 0 else None


def _cache_axis(name: str, leaf: Any, config: TandemConfig, chips: int) -> int | None:
    """Caches `[B, K, S, H]` by their heads; registers are on every chip."""
    if len(leaf.shape) != 4:
        return None
    decoder = getattr(config, name.split("_")[0])
    return 1 if splits_heads(decoder, chips) else None
