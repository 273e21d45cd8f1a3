"""The exported steps of a bundle beside the same steps written by hand, in turns.

python -m experiments.hand_steps BUNDLE compares every primary block and drafter step of width 1, in
ONNX Runtime on one thread. The bundle's block also makes the drafter's rows; the one by hand does
not. CPU time is the figure to read on a machine that does other work.
"""

from __future__ import annotations

import dataclasses
import sys

import numpy as np

from experiments.hand_graph import hand_graph
from experiments.steps import random_arrays, session_run
from tandem_export.bundle import Bundle, GraphRecord, locate_weights, open_bundle
from tandem_export.bundle.layout import WEIGHTS
from tandem_export.cli.output import make_table, print_tables
from tandem_export.measure.turns import median_clocks
from tandem_export.targets.onnx.convert import bind_weights

TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ratio:
    """Median CPU milliseconds of one graph in both forms, and the largest difference of a logit."""

    graph: str
    exported_ms: float
    hand_ms: float
    difference: float


def compare(bundle: Bundle, graph: GraphRecord, repetitions: int = 25) -> Ratio:
    """Both forms of `graph`.

    Raises:
      ValueError: they disagree, so the decoder is not a plain one.
    """
    who = "drafter" if graph.role == "drafter_step" else "primary"
    model = hand_graph(graph, who, getattr(bundle.manifest.model, who))
    places = locate_weights(bundle.path / WEIGHTS)
    bind_weights(model, {s.name: places[s.name] for s in graph.params if s.name.startswith(who)})
    arrays = random_arrays(graph)
    folder = {"session.model_external_initializers_file_folder_path": str(bundle.path)}
    runs = {
        "exported": session_run(bundle.path / graph.files["onnx"], arrays),
        "hand": session_run(model.SerializeToString(), arrays, folder),
    }
    logits = [run()["logits"] for run in runs.values()]
    off = float(np.abs(logits[0] - logits[1]).max())
    if off > TOLERANCE:
        raise ValueError(f"{graph.name}: the forms must agree within {TOLERANCE}. Got: {off:.3g}")
    times = median_clocks(runs, repetitions)
    return Ratio(
        graph=graph.name,
        exported_ms=1e3 * times["exported"].cpu,
        hand_ms=1e3 * times["hand"].cpu,
        difference=off,
    )


def main(path: str) -> None:
    """Prints the table."""
    bundle = open_bundle(path).in_form("onnx")
    steps = [
        graph
        for graph in bundle.manifest.graphs
        if graph.role == "primary_block" or (graph.role, graph.width) == ("drafter_step", 1)
    ]
    rows = [_row(compare(bundle, graph)) for graph in steps]
    columns = ("graph", ">exported, CPU ms", ">by hand", ">ratio", ">difference")
    print_tables(make_table("Steps", columns, rows))


def _row(found: Ratio) -> list[str]:
    ratio = found.exported_ms / found.hand_ms
    times = f"{found.exported_ms:.2f}", f"{found.hand_ms:.2f}", f"{ratio:.2f}"
    return [found.graph, *times, f"{found.difference:.1g}"]


if __name__ == "__main__":
    main(*sys.argv[1:])
