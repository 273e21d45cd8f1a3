"""Loads the model that was written, as a server does, and compares it with what was planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from tandem_export.graphs import Graph
from tandem_export.serving import LocalModel
from tandem_export.targets.errors import NameMismatchError
from tandem_export.targets.savedmodel.session.method import Method
from tandem_export.targets.validate.arrays import Arrays, check_arrays, described
from tandem_export.targets.validate.case import draw_case
from tandem_export.targets.validate.values import Run, check_values

_COMPARED = ("primary_block", "drafter_step", "router")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check found: the TensorFlow that loaded the model, differences by graph."""

    tensorflow: str
    differences: dict[str, float]


def check_model(
    folder: Path,
    methods: Sequence[Method],
    graphs: Sequence[Graph],
    weights: Mapping[str, np.ndarray],
    *,
    scratch: int,
) -> Checked:
    """Checks the SavedModel in `folder`.

    Args:
      folder: the version folder.
      methods: the signatures that it must have.
      graphs: the first of each single step is run beside its function; none: nothing is run.
      weights: by bundle name.
      scratch: the slot to run on.

    Raises:
      NameMismatchError, ShapeMismatchError, DtypeMismatchError: a signature's inputs.
      ValueMismatchError: a result differs by more than `allowances`.
    """
    with closing(LocalModel(folder)) as model:
        for method in methods:
            _check_signature(method, model)
        differences = {
            graph.name: check_values(
                graph, _run(graph, model, scratch), draw_case(graph, weights, empty=True)
            )
            for graph in _first(graphs)
        }
    return Checked(tensorflow=tf.__version__, differences=differences)


def _check_signature(method: Method, model: LocalModel) -> None:
    if method.name not in model.signatures:
        have = sorted(model.signatures)
        raise NameMismatchError(f"the model must have a signature {method.name!r}. Got: {have}")
    got = model.signatures[method.name].inputs
    check_arrays(method.name, "inputs", described(got), method.inputs)


def _first(graphs: Sequence[Graph]) -> list[Graph]:
    firsts = {graph.role: graph for graph in reversed(graphs)}
    return [firsts[role] for role in _COMPARED if role in firsts]


def _run(graph: Graph, model: LocalModel, scratch: int) -> Run:
    def run(params: Arrays, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        del params, state  # the model has both
        slots = {"slots": np.full(graph.batch, scratch, np.int32), "owner": np.ones(1, np.int32)}
        answer = model.call(graph.name, {**inputs, **(slots if graph.state else {})})
        return {name: answer[name] for name in graph.outputs}, {}

    return run
