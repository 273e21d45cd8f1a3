"""The ONNX target: converts every graph, writes it beside the weights, checks what was written."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from tandem_export.bundle import BundleWriter, GraphRecord, locate_weights
from tandem_export.bundle.layout import graph_file
from tandem_export.bundle.weights import map_weights
from tandem_export.graphs.spec import Graph
from tandem_export.targets.onnx.operators import OPSET
from tandem_export.targets.onnx.readme import readme
from tandem_export.targets.stablehlo import Progress, tensor_specs

README = "onnx/README.md"


def build_onnx(
    graphs: Sequence[Graph],
    writer: BundleWriter,
    platforms: Sequence[str],
    progress: Progress | None = None,
    *,
    check_values: bool = True,
) -> None:
    """Converts, writes and checks every graph, and writes the README of the ONNX part.

    Args:
      graphs: of the `rows` contract.
      writer: of the bundle; it holds the weights already.
      platforms: without meaning here: an ONNX graph is for any engine.
      progress: called after each graph.
      check_values: run every graph beside its function; else `difference` is None.

    Raises:
      ExportError: a graph failed a check; see `check_file` and `check_values`.
    """
    # The converter takes seconds to load; nothing else in `targets` needs it.
    from tandem_export.targets.onnx.checks import check_file
    from tandem_export.targets.onnx.convert import convert
    from tandem_export.targets.onnx.values import check_values as compare

    del platforms
    places, weights = locate_weights(writer.weights), map_weights(writer.weights)
    records = []
    for index, graph in enumerate(graphs):
        data = convert(graph, places).SerializeToString(deterministic=True)
        path = writer.add_file(graph_file("onnx", graph.name), data)
        check_file(path, graph, places)
        difference = compare(path, graph, weights) if check_values else None
        records.append(_record(graph, difference))
        writer.add_record(records[-1])
        if progress is not None:
            progress(index + 1, len(graphs), graph.name)
    writer.add_file(README, readme(records).encode())


def _record(graph: Graph, difference: float | None) -> GraphRecord:
    outputs, _ = jax.eval_shape(graph.function, graph.params, graph.state, graph.inputs)
    return GraphRecord(
        name=graph.name,
        role=graph.role,
        batch=graph.batch,
        gamma=graph.gamma,
        width=graph.width,
        parity=graph.parity,
        params=tensor_specs(graph.params),
        state=tensor_specs(graph.state),
        inputs=tensor_specs(graph.inputs),
        outputs=tensor_specs(outputs),
        opset=OPSET,
        difference=difference,
        files={"onnx": graph_file("onnx", graph.name)},
    )
