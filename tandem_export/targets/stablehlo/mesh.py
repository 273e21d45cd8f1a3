"""Where each argument of a graph lies on a mesh of chips.

Only arguments are placed; XLA's partitioner finds the rest and puts the sums in. The mesh is
abstract: no device is needed to export.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from tandem_export.config import TandemConfig
from tandem_export.contract import parse_cache_name, without_prefix
from tandem_export.graphs import Graph
from tandem_export.sharding import split_axis, splits_heads

AXIS = "chips"


def abstract_mesh(chips: int) -> AbstractMesh:
    """Returns a mesh of `chips` in a row, without devices."""
    return AbstractMesh((chips,), (AXIS,), axis_types=(AxisType.Auto,))


Shardings = dict[str, NamedSharding]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a graph's arrays lie.

    Attributes:
      axes: the axis that is split, of each parameter, cache and output of which a chip has a share.
      arguments: shardings of (params, state, inputs), for `jax.jit`.
      results: shardings of (outputs, state).
    """

    axes: Mapping[str, int]
    arguments: tuple[Shardings, Shardings, Shardings]
    results: tuple[Shardings, Shardings]


def placement(graph: Graph, config: TandemConfig, mesh: AbstractMesh | Mesh) -> Placement:
    """Places every argument and result of `graph`.

    Logits stay split by the vocabulary: gathering them on every chip would move more than the rest
    of a wide block.
    """
    axes = _axes(graph, config, mesh.size)

    def place(names: Iterable[str]) -> dict[str, NamedSharding]:
        specs = {n: [None] * axes[n] + [AXIS] if n in axes else [] for n in names}
        return {n: NamedSharding(mesh, PartitionSpec(*spec)) for n, spec in specs.items()}

    params, state, inputs = (place(part) for part in (graph.params, graph.state, graph.inputs))
    results = (place(graph.outputs), state)
    return Placement(axes=axes, arguments=(params, state, inputs), results=results)


def _axes(graph: Graph, config: TandemConfig, chips: int) -> dict[str, int]:
    weights = {name: _weight_axis(name, leaf, config, chips) for name, leaf in graph.params.items()}
    caches = {
        name: _cache_axis(name, leaf, config, chips)
        for name, leaf in (*graph.state.items(), *graph.inputs.items())
    }
    outputs = {name: _output_axis(leaf, config, chips) for name, leaf in graph.outputs.items()}
    return {n: axis for n, axis in (weights | caches | outputs).items() if axis is not None}


def _weight_axis(
    name: str, leaf: jax.ShapeDtypeStruct, config: TandemConfig, chips: int
) -> int | None:
    part, tensor = name.split(".", 1)
    return (
        None if part == "router" else split_axis(tensor, leaf.shape, getattr(config, part), chips)
    )


def _output_axis(leaf: jax.ShapeDtypeStruct, config: TandemConfig, chips: int) -> int | None:
    by_token = leaf.ndim > 1 and leaf.shape[-1] == config.primary.vocab_size
    return leaf.ndim - 1 if by_token and leaf.shape[-1] % chips == 0 else None


def _cache_axis(
    name: str, leaf: jax.ShapeDtypeStruct, config: TandemConfig, chips: int
) -> int | None:
    """Returns the axis of heads of a cache `[B, K, S, H]`, of a prefilled row's too; else None."""
    cache = parse_cache_name(next(iter(without_prefix([name])), name))
    if cache is None:
        return None
    decoder = config.primary if cache.model == "primary" else config.drafter
    return 1 if splits_heads(decoder, chips) else None
