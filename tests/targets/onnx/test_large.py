"""A weight file above 2 GB: the graph points into it, engines map it, nobody holds it in memory."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.bundle import Bundle, locate_weights
from tandem_export.bundle.weights import map_weights
from tandem_export.graphs import Graph
from tandem_export.runtime.executors.host.onnxruntime import OnnxRuntime
from tandem_export.targets.onnx.checks import check_file
from tandem_export.targets.onnx.convert import convert
from tandem_export.targets.record import graph_record
from tests.bundle.sample import manifest
from tests.targets.toy import leaf

ROWS, WIDTH = 600_000, 1024  # 2.4 GB in float32
SHAPES = {"primary.table": (ROWS, WIDTH), "primary.tail": (WIDTH,)}
LAST = ROWS - 1


def step(params, state, inputs):
    rows = params["primary.table"][inputs["tokens"].reshape(-1)]
    return {"logits": rows * params["primary.tail"][None]}, state


GRAPH = Graph(
    name="large_b1_t2",
    role="primary_block",
    batch=1,
    width=2,
    parity="P1",
    function=step,
    params={name: leaf(shape) for name, shape in SHAPES.items()},
    state={},
    inputs={"tokens": leaf((1, 2), jnp.int32)},
    outputs={"logits": leaf((2, WIDTH))},
)


@pytest.fixture
def store(tmp_path) -> Path:
    """A sparse file: only its header, the last row and the tail take room on the disk."""
    sizes = [4 * int(np.prod(shape)) for shape in SHAPES.values()]
    ends = np.cumsum(sizes).tolist()
    entries = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": [end - size, end]}
        for (name, shape), size, end in zip(SHAPES.items(), sizes, ends, strict=True)
    }
    header = json.dumps(entries).encode()
    header += b" " * (-(8 + len(header)) % 64)
    path = tmp_path / "weights.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.seek(8 + len(header) + sizes[0] - 4 * WIDTH)
        file.write(np.arange(WIDTH, dtype=np.float32).tobytes())
        file.write(np.full(WIDTH, 2, np.float32).tobytes())
    return path


def test_a_graph_over_a_weight_file_above_2_gb(store):
    places = locate_weights(store)
    assert places["primary.tail"].offset > 2**31
    path = store.with_name("large_b1_t2.onnx")
    path.write_bytes(convert(GRAPH, places).SerializeToString())
    check_file(path, GRAPH, places)
    assert path.stat().st_size < 10_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    np.testing.assert_array_equal(_run(store), [np.zeros(WIDTH), 2 * np.arange(WIDTH)])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 500_000, f"the weights are mapped, not read; {grown} kB more than before"


def _run(store: Path) -> np.ndarray:
    files = {"onnx": "large_b1_t2.onnx"}
    record = graph_record(GRAPH, files=files, difference=None)
    arrays = {"tokens": np.array([[0, LAST]], np.int32), "logits": np.zeros((2, WIDTH), np.float32)}
    assert set(map_weights(store)) == set(SHAPES)
    bundle = Bundle(path=store.parent, manifest=manifest(graphs=(record,)))
    OnnxRuntime(bundle, threads=1).load(record, arrays)()
    return arrays["logits"]
