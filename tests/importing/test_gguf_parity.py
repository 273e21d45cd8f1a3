"""GGUF models compute what llama.cpp computes with the same file, where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tandem_export.importing import read_source
from tests.importing import files
from tests.importing.models import BLOCK, TOKENS, T
from tests.importing.test_parity import own_logits

YARN = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}
VALUES = {"attention.value_length": 12}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama2", {}),
    "llama3": ("llama3.1", {}),
    "linear": ("llama2", {"rope.scale_linear": 4.0}),
    "none": ("llama2", {"rope.scaling.type": "none", "rope.scaling.factor": 4.0}),
    "yarn": ("llama2", YARN | {"rope.scaling.original_context_length": 16}),
    "yarn, attention": ("qwen2.5", YARN | {"rope.scaling.attn_factor": 1.5}),
    "partial": ("gemma3", VALUES | {"rope.dimension_count": 4}),
    "listed heads": ("qwen2.5", {"attention.head_count": [4, 4, 4]}),
    "gemma3": ("gemma3", VALUES),
}


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_llama_cpp(case: str, tmp_path: Path) -> None:
    name, changed = CASES[case]
    llama_cpp = pytest.importorskip(
        "llama_cpp", reason="pip install llama-cpp-python (compiles llama.cpp)"
    )
    settings: dict[str, Any] = {"context_length": 64, **changed}
    path = files.gguf_file(tmp_path / "model.gguf", name, **settings)
    model = llama_cpp.Llama(
        str(path), n_ctx=64, logits_all=True, n_threads=1, verbose=False, type_k=0, type_v=0
    )
    want = []
    for row in TOKENS:
        model.reset()
        model.eval(row.tolist())
        want.append(np.array(model.scores[:T]))
    source, want = read_source(str(path), "primary"), np.stack(want)
    assert want.std() > 0.3, "flat logits prove nothing"
    for width in (T, BLOCK):  # llama.cpp rounds activations of Gemma to float16
        assert np.abs(own_logits(source, width) - want).max() < 1e-2
