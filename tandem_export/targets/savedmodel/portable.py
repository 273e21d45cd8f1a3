"""Makes a SavedModel readable for older servers, and smaller.

jax.export writes the newest StableHLO that is four weeks old, with the source line of every
operation. TensorFlow reads no version above its own: 2.21 stops at 1.13, jax 0.10.2 writes 1.15. So
each module is written again, for an older version and without locations (half the bytes).
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from jax.extend.mlir import ir, passmanager
from jax.extend.mlir.dialects import stablehlo
from tensorflow.core.protobuf import saved_model_pb2

from tandem_export.targets.errors import SerializationError

_MODEL = "saved_model.pb"
# A hash of the file that TensorFlow wrote; loading does without it.
_FINGERPRINT = "fingerprint.pb"
# What TensorFlow's tracing notes and running does not read: shapes (they are inferred again), the
# Python names of arguments, the text of an error that only gradients meet.
_NOTES = ("_output_shapes", "_user_specified_name", "message")


def lower_versions(folder: Path, version: str) -> None:
    """Writes every StableHLO module of the SavedModel in `folder` for StableHLO `version`.

    Raises:
      SerializationError: a module needs a later version; the text names the operation.
    """
    model = saved_model_pb2.SavedModel.FromString((folder / _MODEL).read_bytes())
    for graph in model.meta_graphs:
        for function in graph.graph_def.library.function:
            for argument in function.arg_attr.values():
                _drop_notes(argument.attr)
            for node in function.node_def:
                _drop_notes(node.attr)
                if node.op == "XlaCallModule":
                    module = node.attr["module"]
                    module.s = rewrite(module.s, version)
    (folder / _MODEL).write_bytes(model.SerializeToString(deterministic=True))
    (folder / _FINGERPRINT).unlink(missing_ok=True)


def _drop_notes(attributes: MutableMapping[str, Any]) -> None:
    for name in _NOTES:
        attributes.pop(name, None)


def rewrite(module: bytes, version: str) -> bytes:
    """A portable artifact for StableHLO `version`, without source locations.

    Raises:
      SerializationError: `module` needs a later version.
    """
    with ir.Context() as context:
        stablehlo.register_dialect(context)
        parsed = stablehlo.deserialize_portable_artifact(context, module)
        stripped = passmanager.PassManager.parse("builtin.module(strip-debuginfo)")
        stripped.run(parsed.operation)
        try:
            return stablehlo.serialize_portable_artifact(parsed, version)
        except ValueError as error:
            rule = f"a module must be expressible in StableHLO {version}"
            raise SerializationError(f"{rule}. Got: {error}. Raise `stablehlo_version`.") from error
