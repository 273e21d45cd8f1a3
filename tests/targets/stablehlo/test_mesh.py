"""Tensor parallelism: exported without devices, equal in numbers on virtual ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

from jax import export

from tandem_export.graphs import plan_graphs
from tandem_export.targets import export_graph
from tandem_export.targets.stablehlo.mesh import abstract_mesh, placement
from tests.targets.mesh_numbers import OPTIONS, PAIR


def test_four_virtual_devices_compute_what_one_does() -> None:
    """In a process of its own: the number of devices is fixed when jax starts."""
    more = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.targets.mesh_numbers"],
        env=os.environ | more,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["devices"] == 4
    assert set(found["differences"]) == {
        "prefill_b1_t4",
        "insert_b2",
        "primary_block_b2_t1",
        "primary_block_b2_t3",
        "drafter_step_b2_t1",
        "round_b2_g0",
        "round_b2_g2",
    }
    assert max(found["differences"].values()) < 2e-5


def test_export_needs_no_devices_and_keeps_the_placement() -> None:
    graph = next(g for g in plan_graphs(PAIR, OPTIONS) if g.name == "primary_block_b2_t3")
    placed = placement(graph, PAIR, abstract_mesh(4))
    made = export_graph(graph, "tpu", check_values=False, placed=placed)
    loaded = export.deserialize(bytearray(made.artifact.jax_export))
    assert loaded.nr_devices == 4
    assert "sdy.sharding" in loaded.mlir_module()


def axes_of(name: str) -> Mapping[str, int]:
    graph = next(g for g in plan_graphs(PAIR, OPTIONS) if g.name == name)
    return placement(graph, PAIR, abstract_mesh(4)).axes


def test_what_is_split() -> None:
    axes = axes_of("round_b2_g2")
    assert axes["primary_k.00"] == 1 and axes["primary.layers.0.attention.o.weight"] == 0
    assert "drafter_k.00" not in axes and "drafter.layers.0.attention.k.weight" not in axes
    assert "position" not in axes and "drafter.projection.0.weight" not in axes


def test_a_prefilled_row_is_split_as_the_cache_that_takes_it() -> None:
    axes = axes_of("insert_b2")
    assert axes["prefix.primary_k.00"] == axes["primary_k.00"] == 1
    assert "prefix.drafter_k.00" not in axes and "slot" not in axes


def test_logits_stay_split_by_the_vocabulary() -> None:
    assert axes_of("primary_block_b2_t3")["logits"] == 2
