"""Mosaic, the TPU's kernel compiler, takes every shape that the checks let pass."""

from __future__ import annotations

from typing import Any

import jax

from tandem_export.graphs import Graph
from tandem_export.kernels import ragged_attention
from tandem_export.targets import export_graph
from tandem_export.tpu.chips import slice_named
from tandem_export.tpu.compile import compile_options
from tandem_export.tpu.compile.run import CompileJob, compile_jobs
from tests.kernels.cases import CASES, Case

MORE = [
    Case(N=2, K=2, H=4, T=1, S=128, dtype="bfloat16"),
    Case(N=8, K=2, H=96, S=384, dtype="bfloat16"),
    Case(N=4, K=2, H=160, B=1, S=1024),
    Case(N=32, K=8, H=128, T=9, B=4, S=2048, dtype="bfloat16"),
]
_PARTS = ("q", "k", "v", "k_block", "v_block")


def every_case(cases: list[Case]) -> Graph:
    """One graph that attends in the shapes of all cases; the caches are its state."""
    leaves = {
        f"{part}.{i:02}": jax.ShapeDtypeStruct(shape, case.dtype)
        for i, case in enumerate(cases)
        for part, shape in zip(_PARTS, case.shapes, strict=True)
    }
    starts = {f"start.{i:02}": jax.ShapeDtypeStruct((c.B,), "int32") for i, c in enumerate(cases)}

    def function(params: Any, state: Any, inputs: Any) -> Any:
        del params
        given, outputs = state | inputs, {}
        for i in range(len(cases)):
            parts = [given[f"{part}.{i:02}"] for part in (*_PARTS, "start")]
            outputs[f"out.{i:02}"] = ragged_attention(*parts, scale=0.1, softcap=2.0, window=130)
        return outputs, state

    state = {name: leaf for name, leaf in leaves.items() if name[:2] in ("k.", "v.")}
    inputs = {name: leaf for name, leaf in leaves.items() if name not in state}
    return Graph(
        name="kernels",
        role="primary_block",
        batch=1,
        parity="P1",
        function=function,
        params={},
        state=state,
        inputs=inputs | starts,
        outputs=jax.eval_shape(function, {}, state, inputs | starts)[0],
    )


def test_every_shape_compiles_for_v5e_without_a_copy_of_a_cache() -> None:
    """Heads that fill no register's lanes too, whose caches lie transposed."""
    cases = [*CASES, *MORE]
    made = export_graph(every_case(cases), "tpu", check_values=False)
    job = CompileJob(record=made.record, export=made.artifact.jax_export)
    [report] = compile_jobs([job], compile_options(slice_named("v5e"), reuse=False))
    assert report.error is None
    assert report.kernels == len(cases)
    assert report.cache_copies == 0
    # What the kernels move, were every row full: queries and results stay on the chip.
    caches = sum(2 * _bytes(case) for case in cases)
    assert caches <= report.kernel_bytes < 1.2 * caches


def _bytes(case: Case) -> int:
    leaf = jax.ShapeDtypeStruct(case.shapes[1], case.dtype)
    return leaf.size * leaf.dtype.itemsize
