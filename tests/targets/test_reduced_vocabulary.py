"""A drafter of fewer tokens goes through every target; each graph is compared with its function."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tandem_export.checkpoint import Checkpoint, Vocabulary
from tandem_export.graphs import BuildOptions
from tandem_export.model import PARTS
from tandem_export.targets import build
from tests.tiny import LLAMA, TANDEM, random_params

SMALL = dataclasses.replace(TANDEM.drafter, vocab_size=6, num_layers=1)
PAIR = dataclasses.replace(
    TANDEM, primary=dataclasses.replace(LLAMA, num_layers=1), drafter=SMALL, layer_map=(1,)
)
OPTIONS = BuildOptions(
    batch=(2,),
    gamma=(2,),
    prompt=(4,),
    cache=16,
    platforms=("cpu",),
    roles=("drafter_step", "router"),
)


def test_stablehlo_and_onnx_take_the_map(tmp_path: Path) -> None:
    params = {
        part: {name: np.asarray(t) for name, t in random_params(PAIR, part).items()}
        for part in PARTS
    }
    rows = np.array([0, 1, 2, ~0, 3, ~2, ~0, 4, 5] + [~0] * 8, np.int32)
    params["drafter"]["vocabulary.rows"] = rows
    made = Checkpoint(
        config=PAIR,
        vocabulary=Vocabulary(size=17, end_tokens=(0,)),
        tokenizer_json="{}",
        params=params,
        provenance={},
        source={},
    )
    bundle = build(made, OPTIONS, tmp_path / "bundle", targets=("stablehlo", "onnx"))
    assert (bundle.weights()["drafter.vocabulary.rows"] == rows).all()
    steps = [graph for graph in bundle.manifest.graphs if graph.role == "drafter_step"]
    assert {kind for graph in steps for kind in graph.forms} >= {"stablehlo", "onnx"}
    for graph in steps:
        assert "drafter.vocabulary.rows" in {spec.name for spec in graph.params}
        assert graph.difference is not None and graph.difference < 1e-4
