"""The ONNX target: converts every graph, writes it beside the weights, checks what was written."""

from __future__ import annotations

from collections.abc import Sequence

from tandem_export.bundle import BundleWriter, locate_weights
from tandem_export.bundle.layout import graph_file
from tandem_export.bundle.weights import map_weights
from tandem_export.graphs import Graph
from tandem_export.targets.onnx.operators import OPSET
from tandem_export.targets.onnx.readme import readme
from tandem_export.targets.record import graph_record
from tandem_export.targets.stablehlo.build import Progress

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
      LoweringError: an operation of a graph has no ONNX form.
      ExportError: a graph failed a check; see `check_file` and `check_values`.
    """
    # Other targets are built without onnx and its engine.
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
        files = {"onnx": graph_file("onnx", graph.name)}
        records.append(graph_record(graph, opset=OPSET, difference=difference, files=files))
        writer.add_record(records[-1])
        if progress is not None:
            progress(index + 1, len(graphs), graph.name)
    writer.add_file(README, readme(records).encode())
