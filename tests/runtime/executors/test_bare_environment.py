"""The runtime with the extra `onnx` alone: no jax, no tensorflow, nothing that builds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from tests.onnx_bundles import shared_bundle

ROOT = Path(__file__).parents[3]
CODE = """
import importlib.util, json, sys
from tandem_export.runtime import SamplingParams, load

engine = load(sys.argv[1], executor=sys.argv[2])
(result,) = engine.generate([[1, 2, 3]], SamplingParams(max_new_tokens=8, ignore_end_tokens=True))
absent = [n for n in ("jax", "flax", "tensorflow", "onnx") if importlib.util.find_spec(n) is None]
telemetry = "openvino_telemetry" in sys.modules
print(json.dumps({"tokens": result.tokens, "absent": absent, "telemetry": telemetry}))
"""


def _requirement(text: str) -> str | None:
    """The distribution's name; None where the requirement is for an extra or another platform."""
    name, _, marker = text.partition(";")
    if "extra" in marker or "win32" in marker or "Windows" in marker:
        return None
    return re.split(r"[\s<>=!~\[(]", name.strip(), maxsplit=1)[0]


def _closure(names: list[str]) -> set[str]:
    """Those distributions and all that they ask for."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name.lower() in found:
            continue
        try:
            asked = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another platform or an older interpreter
        found.add(name.lower())
        waiting += [wanted for text in asked if (wanted := _requirement(text))]
    return found


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    """Extra -> a folder with links to this package and to what the extra installs."""

    def make(extra: str) -> Path:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        asked = project["dependencies"] + project["optional-dependencies"][extra]
        site = tmp_path_factory.mktemp(extra)
        (site / "tandem_export").symlink_to(ROOT / "tandem_export")
        for name in _closure([re.split(r"[>=\[]", text)[0] for text in asked]):
            for file in metadata.files(name) or ():
                top = site / file.parts[0]
                if file.parts[0] not in ("..", "__pycache__") and not top.exists():
                    top.symlink_to(Path(str(metadata.distribution(name).locate_file(top.name))))
        return site

    return make


@pytest.mark.parametrize(("extra", "executor"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_the_runtime_needs_its_own_extra_only(environments, extra, executor):
    roles = ("prefill", "primary_block", "drafter_step")
    bundle = shared_bundle("tandem", "onnx", dtype="bfloat16", roles=roles)
    start = f"import sys; sys.path.insert(0, {str(environments(extra))!r})\n"
    # -I -S: neither this environment's packages nor PYTHONPATH.
    command = [sys.executable, "-I", "-S", "-c", start + CODE, str(bundle.path), executor]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["absent"] == ["jax", "flax", "tensorflow", "onnx"]
    assert len(said["tokens"]) == 8
    assert not said["telemetry"], "nothing reports the use to anybody"
