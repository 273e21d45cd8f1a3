"""Loads the model that was written, as a server does, and compares it with what was planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorflow as tf

from tandem_export.graphs import Graph
from tandem_export.serving.local import LocalModel
from tandem_export.targets.errors import (
    DtypeMismatchError,
    NameMismatchError,
    ShapeMismatchError,
)
from tandem_export.targets.savedmodel.session.method import Method
from tandem_export.targets.validate.rounding import allowances, check_distance
from tandem_export.targets.validate.values import random_values

_COMPARED = ("primary_block", "drafter_step", "router")
_SEED = 20240213


def check_model(
    folder: Path,
    methods: Sequence[Method],
    graphs: Sequence[Graph],
    weights: Mapping[str, np.ndarray],
    *,
    scratch: int,
) -> dict[str, Any]:
    """Checks the SavedModel in `folder`.

    Args:
      folder: the version folder.
      methods: the signatures that it must have.
      graphs: the first of each single step is run beside its function; none: nothing is run.
      weights: by bundle name.
      scratch: the slot to run on.

    Returns:
      Facts for the manifest: the TensorFlow that loaded it, and the largest differences by graph.

    Raises:
      NameMismatchError, ShapeMismatchError, DtypeMismatchError: a signature's inputs.
      ValueMismatchError: a result differs by more than `allowances`.
    """
    with closing(LocalModel(folder)) as model:
        for method in methods:
            _check_signature(method, model)
        differences = {
            graph.name: _difference(graph, model, weights, scratch) for graph in _first(graphs)
        }
    return {"tested_tensorflow": tf.__version__, "differences": differences}


def _check_signature(method: Method, model: LocalModel) -> None:
    if method.name not in model.signatures:
        have = sorted(model.signatures)
        raise NameMismatchError(f"the model must have a signature {method.name!r}. Got: {have}")
    got = model.signatures[method.name].inputs
    if set(got) != set(method.inputs):
        rule = f"{method.name}: inputs must be {sorted(method.inputs)}"
        raise NameMismatchError(f"{rule}. Got: {sorted(got)}")
    for name, leaf in method.inputs.items():
        where, own = f"{method.name}: input {name!r}", got[name]
        if own.shape != leaf.shape:
            raise ShapeMismatchError(f"{where} must have shape {leaf.shape}. Got: {own.shape}")
        if own.dtype != leaf.dtype.name:
            raise DtypeMismatchError(f"{where} must have dtype {leaf.dtype}. Got: {own.dtype}")


def _first(graphs: Sequence[Graph]) -> list[Graph]:
    firsts = {graph.role: graph for graph in reversed(graphs)}
    return [firsts[role] for role in _COMPARED if role in firsts]


def _difference(
    graph: Graph, model: LocalModel, weights: Mapping[str, np.ndarray], scratch: int
) -> float:
    """Largest difference of the graph's results at the beginning of an empty cache."""
    inputs = random_values(graph.inputs, np.random.default_rng(_SEED))
    if "start" in inputs:
        inputs["start"] = np.zeros_like(inputs["start"])
    state = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in graph.state.items()}
    own = {name: weights[name] for name in graph.params}
    compiled = jax.jit(graph.function)

    def run(*given: Any) -> dict[str, np.ndarray]:
        return jax.device_get(compiled(*given)[0])

    want = run(own, state, inputs)
    allowed = allowances(run, (own, state, inputs), want)
    if graph.state:
        slots = {"slots": np.full(graph.batch, scratch, np.int32), "owner": np.ones(1, np.int32)}
        inputs = inputs | slots
    got = model.call(graph.name, inputs)
    wheres = {name: f"{graph.name}: output {name!r}" for name in want}
    return max(check_distance(wheres[n], want[n], got[n], allowed[n]) for n in want)
