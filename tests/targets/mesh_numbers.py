"""Run in a process with 4 virtual CPU devices: graphs on a mesh against one device.

Prints the largest difference of every result, by graph.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from tandem_export.graphs import BuildOptions, Graph, plan_graphs
from tandem_export.targets.stablehlo.mesh import AXIS, placement
from tandem_export.targets.validate.case import random_values
from tests.tiny import LLAMA, QWEN3, TANDEM

PRIMARY = dataclasses.replace(LLAMA, vocab_size=16, num_heads=8, num_kv_heads=4)
# One key/value head for four chips: every chip keeps it whole.
DRAFTER = dataclasses.replace(QWEN3, vocab_size=16, num_heads=4, num_kv_heads=1)
PAIR = dataclasses.replace(TANDEM, primary=PRIMARY, drafter=DRAFTER, layer_map=(0, 2))
OPTIONS = BuildOptions(
    batch=(2,),
    gamma=(2,),
    prompt=(4,),
    cache=16,
    attention="two_part",
    quantize="none",
    roles=("prefill", "insert", "primary_block", "drafter_step", "round"),
)


def difference(graph: Graph, mesh: Mesh) -> float:
    rng = np.random.default_rng(0)
    params = {n: (v - 0.5) for n, v in random_values(graph.params, rng).items()}
    values = (params, random_values(graph.state, rng), random_values(graph.inputs, rng))
    placed = placement(graph, PAIR, mesh)
    assert 1 in placed.axes.values()
    split = jax.jit(graph.function, in_shardings=placed.arguments, out_shardings=placed.results)
    want, got = (jax.tree.map(np.asarray, f(*values)) for f in (jax.jit(graph.function), split))
    gaps = jax.tree.map(lambda a, b: float(np.max(np.abs(a - b), initial=0)), want, got)
    return max(jax.tree.leaves(gaps))


def main() -> None:
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    found: dict[str, Any] = {g.name: difference(g, mesh) for g in plan_graphs(PAIR, OPTIONS)}
    print(json.dumps({"devices": mesh.size, "differences": found}))


if __name__ == "__main__":
    main()
