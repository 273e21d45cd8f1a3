from __future__ import annotations

import json

from tandem_export.bundle import describe, open_bundle
from tests.bundle import sample


def test_the_facts_are_json_and_agree_with_the_disk(tmp_path):
    ends = {"jax_export": "2000-01-01", "stablehlo": None}
    path = sample.write(tmp_path / "b", not_after=ends)
    facts = describe(open_bundle(path, allow_expired=True))
    assert json.loads(json.dumps(facts))["name"] == "sample"
    on_disk = {name: len(data) for name, data in sample.snapshot(path).items()}
    assert facts["bytes"]["total"] == sum(on_disk.values())
    assert facts["bytes"]["weights"] == on_disk["weights.safetensors"]
    assert facts["bytes"]["stablehlo"] == 8 * len(sample.MODULE)
    assert facts["expired"] == ["jax_export"]
    assert facts["parity"] == ["P0"]


def test_each_graph_has_its_bucket_and_sizes(tmp_path):
    facts = describe(open_bundle(sample.write(tmp_path / "b")))
    graph = facts["graphs"][2]
    assert (graph["name"], graph["batch"], graph["gamma"]) == ("round_b4_g3", 4, 3)
    assert graph["bytes"]["stablehlo/cpu"] == len(sample.MODULE)
    assert graph["arguments"] == {"params": 1, "state": 1, "inputs": 0, "outputs": 1}
