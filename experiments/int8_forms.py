"""How engines run the matrices of an int8 bundle, beside the float32 bundle of the same pair.

python -m experiments.int8_forms INT8_BUNDLE FLOAT32_BUNDLE [GRAPH...] takes turns between the forms
of each graph, by default of every primary block. Engines have one thread. CPU time is the figure to
read on a machine that does other work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from experiments.steps import Arrays, random_arrays, session_run
from tandem_export.bundle import Bundle, GraphRecord, open_bundle
from tandem_export.cli.output import make_table, print_tables
from tandem_export.measure.turns import median_clocks
from tandem_export.runtime.executors.host.openvino import OpenVino

# What ONNX Runtime makes of DequantizeLinear in front of a product; the last is its default.
_ACCURACY, _NO_KERNELS = "session.qdq_matmulnbits_accuracy_level", "session.disable_quant_qdq"
SESSIONS = {
    "widened at load": ({_NO_KERNELS: "1"}, ()),
    "widened in each call": ({_NO_KERNELS: "1"}, ("ConstantFolding",)),
    "MatMulNBits, float32": ({_ACCURACY: "1"}, ()),
    "MatMulNBits, rounded activations": ({_ACCURACY: "4"}, ()),
}


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way to run a graph.

    Attributes:
      cpu_ms, wall_ms: medians.
      difference: largest in a logit, from the weights widened at load.
    """

    graph: str
    form: str
    cpu_ms: float
    wall_ms: float
    difference: float


def compare(int8: Bundle, wide: Bundle, graph: GraphRecord, repetitions: int = 15) -> list[Form]:
    """Every form of `graph`, in one run; `wide` has the same graphs over float32 weights."""
    arrays = random_arrays(graph)
    runs = _forms(int8, wide, graph, arrays)
    logits = {form: run()["logits"].copy() for form, run in runs.items()}
    return [
        Form(
            graph=graph.name,
            form=form,
            cpu_ms=1e3 * clock.cpu,
            wall_ms=1e3 * clock.wall,
            difference=float(np.abs(logits[form] - logits["widened at load"]).max()),
        )
        for form, clock in median_clocks(runs, repetitions).items()
    ]


def _forms(
    int8: Bundle, wide: Bundle, graph: GraphRecord, arrays: Arrays
) -> dict[str, Callable[[], Arrays]]:
    file = graph.files["onnx"]
    sessions = {
        form: session_run(int8.path / file, arrays, *settings)
        for form, settings in SESSIONS.items()
    }
    return {
        "float32": session_run(wide.path / file, arrays),
        **sessions,
        "OpenVINO, float32": _openvino(wide, graph, arrays),
        "OpenVINO, int8": _openvino(int8, graph, arrays),
    }


def _openvino(bundle: Bundle, graph: GraphRecord, arrays: Arrays) -> Callable[[], Arrays]:
    own = next(g for g in bundle.manifest.graphs if g.name == graph.name)
    run = OpenVino(bundle, precision="float32", threads=1).load(own, arrays)

    def call() -> Arrays:
        run()
        return arrays

    return call


def main(int8: str, wide: str, *names: str) -> None:
    """Prints the table."""
    bundles = open_bundle(int8).in_form("onnx"), open_bundle(wide).in_form("onnx")
    blocks = [g for g in bundles[0].manifest.graphs if g.role == "primary_block"]
    asked = [g for g in blocks if g.name in names or not names]
    found = [form for graph in asked for form in compare(*bundles, graph)]
    columns = ("graph", "form", ">CPU ms", ">wall ms", ">difference")
    print_tables(make_table("int8", columns, [_row(form) for form in found]))


def _row(form: Form) -> list[str]:
    times = f"{form.cpu_ms:.2f}", f"{form.wall_ms:.2f}"
    return [form.graph, form.form, *times, f"{form.difference:.1g}"]


if __name__ == "__main__":
    main(*sys.argv[1:])
