"""The ONNX graphs in tract, an engine in Rust."""

from __future__ import annotations

import numpy as np
import tract

from tests.engines.steps import TOLERANCE, bundle, calls


def test_every_graph_gives_the_same_values() -> None:
    ran = set()
    for graph, inputs, want in calls():
        model = tract.onnx().load(bundle().graph_path(graph.name, "onnx")).into_model()
        names = [model.input_name(i) for i in range(model.input_count())]
        results = model.into_runnable().run([inputs[name] for name in names])
        for spec, result in zip(_in_order(graph.name, want), results, strict=True):
            got = result.to_numpy()
            np.testing.assert_allclose(got, want[spec], atol=TOLERANCE, rtol=0, err_msg=graph.name)
        ran.add(graph.role)
    assert ran == {"prefill", "primary_block", "drafter_step", "router"}


def _in_order(name: str, outputs: dict[str, np.ndarray]) -> list[str]:
    import onnx

    model = onnx.load(bundle().graph_path(name, "onnx"), load_external_data=False)
    order = [value.name for value in model.graph.output]
    assert set(order) == set(outputs)
    return order
