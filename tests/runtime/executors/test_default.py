"""Which executor a bundle gets when none is named."""

from __future__ import annotations

import pytest

from tandem_export.runtime import executors
from tandem_export.runtime.executors import default_executor, executors_for, usable_executors
from tests.parity.bundles import shared_bundle


def test_those_that_the_bundle_has_graphs_for() -> None:
    assert usable_executors(shared_bundle()) == ("jax",)
    assert default_executor(shared_bundle()) == "jax"
    assert executors_for({"onnx"}) == ("onnxruntime", "openvino")
    assert executors_for({"savedmodel", "jax_export", "stablehlo"}) == ("jax", "tensorflow")
    assert executors_for({"stablehlo"}) == ()


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "find_spec", lambda name: None if name == "jax" else name)
    assert executors_for({"onnx", "jax_export"}) == ("onnxruntime", "openvino")
    assert executors_for({"jax_export"}) == ("jax",)  # its error says what to install
