"""Describes one graph of a build: a pure function with its static shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import jax

from tandem_export.contract import Role
from tandem_export.graphs.options import Parity

Arrays = dict[str, jax.Array]
Shapes = dict[str, jax.ShapeDtypeStruct]
# (params, state, inputs) -> (outputs, state)
GraphFunction = Callable[[Arrays, Arrays, Arrays], tuple[Arrays, Arrays]]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """One graph, ready to be traced.

    Attributes:
      name: the file name stem, unique in a bundle, such as `round_b4_g5`.
      role: what it does.
      batch: rows B.
      gamma: longest draft G of rounds and of `generate`, else None.
      width: tokens T of a block, W = G + 1 of a round, prompt length S of `generate`, else None.
      parity: the level that the graph's tokens hold against the primary alone at the same width:
        P0 (bit for bit) or P1 (up to near-ties).
      function: pure, `(params, state, inputs) -> (outputs, state)`, flat dicts of arrays.
      params, state, inputs: shapes and dtypes of what `function` takes. `state` comes back in the
        same shapes and is donated; a graph without state takes and returns {}.
      outputs: shapes and dtypes of what `function` returns beside the state; `narrowed` fills it.
    """

    name: str
    role: Role
    batch: int
    gamma: int | None = None
    width: int | None = None
    parity: Parity
    function: GraphFunction
    params: Shapes
    state: Shapes
    inputs: Shapes
    outputs: Shapes = field(default_factory=Shapes)
