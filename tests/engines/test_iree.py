"""The portable artifacts in IREE: a compiler and a runtime that know nothing of jax."""

from __future__ import annotations

from functools import cache
from typing import Any

import iree.compiler
import iree.runtime
import numpy as np
import pytest

from tandem_export.contract import ROLES
from tests.engines.portable import (
    CASES,
    FORM,
    NAMES,
    Inputs,
    arguments,
    bundle,
    check_results,
    flat,
)


@cache
def compiled(name: str, *options: str) -> bytes:
    """What IREE makes of a graph for its own CPU backend."""
    module = iree.compiler.compile_str(
        bundle().graph_bytes(name, FORM),
        input_type="stablehlo",
        target_backends=["llvm-cpu"],
        extra_args=["--iree-llvmcpu-target-cpu=generic", *options],
    )
    assert module is not None
    return module


def test_every_graph_is_taken_in() -> None:
    graphs = bundle().manifest.graphs
    assert {graph.role for graph in graphs} == set(ROLES)
    for graph in graphs:
        assert graph.custom_calls[FORM] == ()
        assert compiled(graph.name, "--compile-to=input"), graph.name


def test_only_rounds_on_a_tpu_have_memory_that_is_not_filled() -> None:
    with_calls = {g.role for g in bundle().manifest.graphs if g.custom_calls["stablehlo/tpu"]}
    assert with_calls == {"round", "round_router", "generate"}
    calls = {call for g in bundle().manifest.graphs for call in g.custom_calls["stablehlo/tpu"]}
    assert calls == {"AllocateBuffer"}


def test_every_graph_is_compared() -> None:
    assert set(NAMES) == {graph.name for graph in bundle().manifest.graphs}


@pytest.mark.parametrize(("name", "fixed"), CASES)
def test_values_are_those_of_jax(name: str, fixed: Inputs) -> None:
    """Under IREE's other driver, `local-task`, 3.13 ends a graph with a loop in an error.

    "transient buffer has not been committed", whether or not anything is donated.
    """
    module = iree.runtime.load_vm_flatbuffer(compiled(name), driver="local-sync")
    results: Any = module.main(*flat(arguments(name, fixed)))
    every = results if isinstance(results, tuple | list) else [results]
    check_results(name, fixed, [np.asarray(result.to_host()) for result in every])
