"""The README of a bundle's ONNX part, from the records that its manifest holds."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from tandem_export.bundle import GraphRecord, TensorSpec


def readme(graphs: Sequence[GraphRecord]) -> str:
    """Describes every input and output with shape and dtype, and a round in numpy."""
    text = resources.files("tandem_export.targets.onnx").joinpath("readme.md").read_text("utf-8")
    return text.replace("@GRAPHS@", "\n".join(_graph(graph) for graph in graphs))


def _graph(graph: GraphRecord) -> str:
    inputs = [_tensor("input", spec) for spec in (*graph.inputs, *graph.state)]
    outputs = [_tensor("output", spec) for spec in graph.outputs]
    head = f"### {graph.files['onnx']}\n\n| | name | dtype | shape |\n| --- | --- | --- | --- |\n"
    return head + "\n".join((*inputs, *outputs)) + "\n"


def _tensor(what: str, spec: TensorSpec) -> str:
    return f"| {what} | `{spec.name}` | {spec.dtype} | {list(spec.shape)} |"
