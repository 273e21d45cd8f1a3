"""What a build writes, checks and says; every graph here is made by the converter itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest

from tandem_export.bundle import open_bundle
from tandem_export.graphs import plan_rows
from tandem_export.targets.onnx import README
from tests.onnx_bundles import OPTIONS, shared_bundle
from tests.pairs import CONFIGS


@pytest.fixture(scope="module")
def bundle():
    return shared_bundle("tandem", "onnx")


def test_every_planned_graph_is_there_and_close_to_its_function(bundle):
    planned = plan_rows(CONFIGS["tandem"], OPTIONS)
    records = bundle.manifest.graphs
    assert [graph.name for graph in records] == [graph.name for graph in planned]
    assert {graph.role for graph in records} == {
        "prefill",
        "primary_block",
        "drafter_step",
        "router",
    }
    assert all(graph.parity == "P1" and graph.opset == 23 for graph in records)
    assert all(graph.difference is not None and graph.difference < 2e-5 for graph in records)
    assert any(graph.difference for graph in records), "another engine adds in another order"


def test_no_tensor_is_stored_twice(bundle):
    files = bundle.manifest.files
    tensors = sum(tensor.nbytes for tensor in bundle.weights().values())
    assert files["weights.safetensors"].bytes < tensors + 8192
    graphs = [graph.files["onnx"] for graph in bundle.manifest.graphs]
    for name in graphs:
        model = onnx.load(bundle.path / name, load_external_data=False)
        inline = [
            t for t in model.graph.initializer if t.data_location != onnx.TensorProto.EXTERNAL
        ]
        largest = max(len(t.raw_data) for t in inline)
        assert largest < 200, "shapes and frequencies, no weights"


def test_the_standard_loader_finds_every_weight(bundle):
    graph = bundle.find("primary_block", width=1)
    model = onnx.load(bundle.path / graph.files["onnx"])
    loaded = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for name, tensor in bundle.weights().items():
        if name in loaded:
            np.testing.assert_array_equal(loaded[name], tensor)
    assert {spec.name for spec in graph.params} <= set(loaded)


def test_the_onnx_part_does_not_expire(bundle):
    assert bundle.manifest.not_after == {"onnx": None}
    assert "onnx" in bundle.manifest.versions
    open_bundle(bundle.path)


def test_the_readme_lists_every_input_and_output(bundle):
    text = (bundle.path / README).read_text()
    for graph in bundle.manifest.graphs:
        for spec in (*graph.inputs, *graph.state, *graph.outputs):
            assert f"`{spec.name}` | {spec.dtype} | {list(spec.shape)}" in text


@pytest.mark.parametrize("kind", ["tandem", "independent"])
def test_the_example_of_the_readme_decodes_what_the_primary_does(kind, tmp_path):
    """Run as the README says, without this package on its path."""
    made = shared_bundle(kind, "onnx")
    (code,) = re.findall(r"```python\n(.*?)```", (made.path / README).read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    (tmp_path / "round.py").write_text(code)
    command = [sys.executable, "-W", "ignore", str(tmp_path / "round.py"), "3", "1", "2"]
    done = subprocess.run(command, cwd=made.path, capture_output=True, text=True, env=_bare())
    assert done.returncode == 0, done.stderr
    got = eval(done.stdout.splitlines()[-1].split("text")[1])
    assert got == _greedy(made, [3, 1, 2], len(got))


def _bare() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _greedy(bundle, prompt, length):
    """The primary alone, through the engine."""
    from tandem_export.runtime import SamplingParams, load

    engine = load(bundle.path, executor="onnxruntime", modes=())
    params = SamplingParams(
        mode="primary", max_new_tokens=length - len(prompt), ignore_end_tokens=True
    )
    return [*prompt, *engine.generate([prompt], params)[0].tokens]
