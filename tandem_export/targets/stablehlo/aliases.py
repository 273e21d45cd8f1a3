"""Gives each state array its own place in memory from call to call.

jax pairs a donated argument with the first result of its shape and dtype: `budget` with the output
`count`. For XLA that is a permission, and it copies where two values would meet. Engines that take
the mark as the place where the result is written put `count` over a `budget` that is still to be
read (IREE does).
"""

from __future__ import annotations

import dataclasses
from typing import Any

from jax import export
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import sdy, stablehlo

from tandem_export.graphs import Graph

ALIAS = "tf.aliasing_output"


def pair_state(exported: export.Exported, graph: Graph, version: str) -> export.Exported:
    """Returns `exported` with each donated state array paired with its value after the call.

    Args:
      exported: of `graph`; state that is not donated, or that the compiler is to pair itself
        (`jax.buffer_donor`), stays as it is.
      graph: what was exported.
      version: the StableHLO version that the module is written for.
    """
    outputs = len(exported.out_avals) - len(graph.state)
    with ir.Context() as context:
        for dialect in (stablehlo, sdy):  # placements are in the latter
            dialect.register_dialect(context)
        module = stablehlo.deserialize_portable_artifact(context, exported.mlir_module_serialized)
        main = ir.SymbolTable(module.operation)["main"]
        marks = list(ir.ArrayAttr(main.attributes["arg_attrs"]))
        # The platform index, if there is one, comes before params and state.
        first = len(marks) - len(graph.inputs) - len(graph.state)
        for rank in range(len(graph.state)):
            marks[first + rank] = _aliased(marks[first + rank], outputs + rank)
        main.attributes["arg_attrs"] = ir.ArrayAttr.get(marks)
        written = stablehlo.serialize_portable_artifact(module, version, allow_other_dialects=True)
    return dataclasses.replace(exported, mlir_module_serialized=written)


def _aliased(marks: Any, result: int) -> Any:
    if ALIAS not in ir.DictAttr(marks):
        return marks
    number = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), result)
    return ir.DictAttr.get({one.name: one.attr for one in ir.DictAttr(marks)} | {ALIAS: number})
