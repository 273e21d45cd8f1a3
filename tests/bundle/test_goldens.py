"""Bundles that earlier releases wrote still load, and answer as they did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tandem_export
from tandem_export import SamplingParams
from tandem_export.bundle import open_bundle

GOLDENS = Path(__file__).parent / "goldens"
FORMATS = sorted(path.name for path in GOLDENS.iterdir() if path.is_dir())
MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "gumbel": {"temperature": 1.0, "rule": "gumbel", "seed": 3},
    "router": {"mode": "router"},
    "leviathan": {"temperature": 1.0, "seed": 5},
}


@pytest.mark.parametrize("executor", ["jax", "onnxruntime"])
@pytest.mark.parametrize("name", FORMATS)
def test_old_bundles_answer_as_they_did(name: str, executor: str) -> None:
    want = json.loads((GOLDENS / f"{name}.tokens.json").read_text())
    engine = tandem_export.load(GOLDENS / name, executor=executor, allow_expired=True)
    for mode, options in MODES.items():
        params = SamplingParams(max_new_tokens=12, ignore_end_tokens=True, **options)
        results = engine.generate([[1, 2, 3], [7, 8]], params)
        assert [list(result.tokens) for result in results] == want[f"{executor} {mode}"], mode


@pytest.mark.parametrize("name", FORMATS)
def test_old_manifests_keep_their_facts(name: str) -> None:
    bundle = open_bundle(GOLDENS / name, allow_expired=True)
    assert bundle.manifest.format_version == int(name.removeprefix("format-"))
    options, model = bundle.manifest.options, bundle.manifest.model
    assert (options.batch, options.gamma, options.cache) == ((1,), (2,), 32)
    assert model.kind == "tandem" and model.primary.rope.scaling == "llama3"
    assert model.router is not None and model.router.tau == model.tau == 0.5
    if name != "format-1":
        assert (bundle.savedmodel.slots, bundle.savedmodel.default) == (8, "generate_b1_s4")
    assert {graph.role for graph in bundle.manifest.graphs} >= {"prefill", "round", "router"}
