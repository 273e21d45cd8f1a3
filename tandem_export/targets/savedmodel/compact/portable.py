"""Makes a SavedModel readable for older servers, and smaller.

jax.export writes the newest StableHLO that is four weeks old, with the source line of every
operation. TensorFlow reads no version above its own: 2.21 stops at 1.13, jax 0.10.2 writes 1.15. So
each module is written again, for an older version, without locations (half the bytes) and without
repeated operations (a quarter of the rest).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jax.extend.mlir import ir, passmanager
from jax.extend.mlir.dialects import stablehlo
from tensorflow.core.protobuf import saved_model_pb2

from tandem_export.targets.errors import SerializationError
from tandem_export.targets.savedmodel.compact.shrink import shrink
from tandem_export.targets.savedmodel.options import MODEL_FILE

# MLIR's bindings make classes of operations at run time: they have no types.
Operation = Any

# A hash of the file that TensorFlow wrote; loading does without it.
_FINGERPRINT = "fingerprint.pb"


def make_portable(folder: Path, version: str) -> None:
    """Writes the SavedModel in `folder` anew: small, and every module for StableHLO `version`.

    Raises:
      SerializationError: a module needs a later version; the text names the operation.
    """
    model = saved_model_pb2.SavedModel.FromString((folder / MODEL_FILE).read_bytes())
    shrink(model)
    for graph in model.meta_graphs:
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                if node.op == "XlaCallModule":
                    module = node.attr["module"]
                    module.s = rewrite(module.s, version)
    (folder / MODEL_FILE).write_bytes(model.SerializeToString(deterministic=True))
    (folder / _FINGERPRINT).unlink(missing_ok=True)


def rewrite(module: bytes, version: str) -> bytes:
    """Makes a portable artifact for StableHLO `version`, without what changes no result.

    Raises:
      SerializationError: `module` needs a later version.
    """
    with ir.Context() as context:
        stablehlo.register_dialect(context)
        parsed = stablehlo.deserialize_portable_artifact(context, module)
        _merge_branches(parsed)
        passes = passmanager.PassManager.parse("builtin.module(strip-debuginfo,cse)")
        passes.run(parsed.operation)
        try:
            return stablehlo.serialize_portable_artifact(parsed, version)
        except ValueError as error:
            rule = f"a module must be expressible in StableHLO {version}"
            raise SerializationError(f"{rule}. Got: {error}. Raise `stablehlo_version`.") from error


def _merge_branches(module: Operation) -> None:
    """Puts one branch in place of each `case` whose branches are all the same.

    For several platforms jax lowers every matmul to a `case` of them, whatever they have in common.
    """
    cases = []

    def collect(operation: Operation) -> Operation:
        if operation.name == "stablehlo.case":
            cases.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(collect, ir.WalkOrder.POST_ORDER)
    for case in cases:
        first, *others = case.regions
        if all(_same_region(first, other, {}) for other in others):
            *body, end = first.blocks[0].operations
            for operation in body:
                operation.operation.move_before(case)
            for result, value in zip(case.results, end.operands, strict=True):
                result.replace_all_uses_with(value)
            case.erase()


def _same_region(one: Operation, other: Operation, twins: dict[Operation, Operation]) -> bool:
    """Returns whether two regions do the same; `twins` maps values of `other` to those of `one`."""
    (one,), (other,) = one.blocks, other.blocks
    here, there = list(one.operations), list(other.operations)
    if (len(here), len(one.arguments)) != (len(there), len(other.arguments)):
        return False
    twins |= dict(zip(other.arguments, one.arguments, strict=True))
    pairs = zip(here, there, strict=True)
    return all(_same(a.operation, b.operation, twins) for a, b in pairs)


def _same(one: Operation, other: Operation, twins: dict[Operation, Operation]) -> bool:
    if _kind(one) != _kind(other):
        return False
    read = [twins.get(value, value) for value in other.operands]
    regions = zip(one.regions, other.regions, strict=True)
    if read != list(one.operands) or not all(_same_region(a, b, twins) for a, b in regions):
        return False
    twins |= dict(zip(other.results, one.results, strict=True))
    return True


def _kind(operation: Operation) -> tuple[Operation, ...]:
    """Returns what an operation is, but for its operands and regions."""
    attributes = {name: str(value) for name, value in operation.attributes.items()}
    types = [str(result.type) for result in operation.results]
    return operation.name, attributes, types, len(operation.operands), len(operation.regions)
