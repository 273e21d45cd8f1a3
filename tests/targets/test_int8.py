"""A bundle with int8 weights, built, checked and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tandem_export.checkpoint import read_checkpoint
from tandem_export.graphs import BuildOptions
from tandem_export.model import quantize
from tandem_export.targets import build
from tests.parity.bundles import shared_checkpoint


def test_weights_are_stored_once_as_int8_and_graphs_compute_with_them(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(shared_checkpoint())
    options = BuildOptions(
        batch=(2,),
        gamma=(2,),
        prompt=(4,),
        cache=16,
        quantize="int8",
        roles=("round_router",),
        platforms=("cpu",),
    )
    bundle = build(checkpoint, options, tmp_path / "bundle")
    [graph] = bundle.manifest.graphs
    assert graph.difference is not None and graph.difference <= 1e-5
    assert bundle.manifest.options.quantize == "int8"
    stored = bundle.weights()
    for part in ("primary", "drafter"):
        for name, tensor in quantize(checkpoint.params[part]).items():
            np.testing.assert_array_equal(stored[f"{part}.{name}"], tensor)
    assert stored["primary.head.weight"].dtype == np.int8
    assert stored["router.hidden.weight"].dtype == np.float32
