"""Which executor a bundle gets when none is named."""

from __future__ import annotations

import pytest

from tandem_export.runtime import executors
from tandem_export.runtime.executors import (
    ExecutorSpec,
    default_executor,
    executors_for,
    usable_executors,
)
from tests.parity.bundles import shared_bundle

JAX = ExecutorSpec(engine="jax")


def names(forms: set[str]) -> list[str]:
    return [str(executor) for executor in executors_for(forms)]


def test_those_that_the_bundle_has_graphs_for() -> None:
    assert usable_executors(shared_bundle()) == (JAX,)
    assert default_executor(shared_bundle()) == JAX
    assert names({"onnx"}) == ["onnxruntime", "openvino"]
    assert names({"savedmodel", "jax_export", "stablehlo"}) == ["jax", "tensorflow"]
    assert names({"stablehlo"}) == []


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "find_spec", lambda name: None if name == "jax" else name)
    assert names({"onnx", "jax_export"}) == ["onnxruntime", "openvino"]
    assert names({"jax_export"}) == ["jax"]  # its error says what to install
