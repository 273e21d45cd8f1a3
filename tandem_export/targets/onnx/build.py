"""The ONNX target: converts every graph, writes it beside the weights, checks what was written."""

from __future__ import annotations

from tandem_export.bundle import graph_file
from tandem_export.targets.context import BuildContext
from tandem_export.targets.onnx.operators import OPSET
from tandem_export.targets.onnx.readme import readme
from tandem_export.targets.record import graph_record

README = "onnx/README.md"


def build_onnx(context: BuildContext[None]) -> None:
    """Converts, writes and checks every graph, and writes the README of the ONNX part.

    Args:
      context: its graphs are of the `rows` contract; `options.platforms` has no meaning here, an
        ONNX graph is for any engine.

    Raises:
      LoweringError: an operation of a graph has no ONNX form.
      ExportError: a graph failed a check; see `check_file` and `check_values`.
    """
    # Other targets are built without onnx and its engine.
    from tandem_export.targets.onnx.checks import check_file
    from tandem_export.targets.onnx.convert import convert
    from tandem_export.targets.onnx.values import check_values

    writer, records = context.writer, []
    for index, graph in enumerate(context.graphs):
        data = convert(graph, context.places).SerializeToString(deterministic=True)
        files = {"onnx": graph_file("onnx", graph.name)}
        path = writer.add_file(files["onnx"], data)
        check_file(path, graph, context.places)
        difference = check_values(path, graph, context.tensors) if context.check_values else None
        records.append(graph_record(graph, opset=OPSET, difference=difference, files=files))
        writer.add_record(records[-1])
        context.report(index + 1, graph.name)
    writer.add_file(README, readme(records).encode())
