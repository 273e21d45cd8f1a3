from __future__ import annotations

import subprocess
import sys

import pytest

ENGINES = (
    "flax",
    "gguf",
    "jax",
    "jaxlib",
    "jinja2",
    "onnx",
    "onnxruntime",
    "openvino",
    "optax",
    "orbax",
    "sentencepiece",
    "tensorflow",
)


def python(code: str) -> str:
    """What a new interpreter prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("import tandem_export", id="package"),
        pytest.param("from tandem_export import SamplingParams, load", id="public-names"),
    ],
)
def test_importing_loads_no_engine(statement):
    loaded = python(f"{statement}; import sys; print(*sys.modules)").split()
    assert "tandem_export" in loaded
    assert not {name.partition(".")[0] for name in loaded}.intersection(ENGINES)


def test_importing_the_package_takes_under_300_ms():
    # Inside the new interpreter, so its own start is not counted; the best of five, since the
    # first finds cold files and any may meet a busy machine.
    clock = "time.perf_counter()"
    code = f"import time; t = {clock}; import tandem_export; print({clock} - t)"
    best = min(float(python(code)) for _ in range(5))
    assert best < 0.3, f"the best of five imports took {best:.3f} s"
