"""SavedModels that do more than their graphs: refused before TensorFlow sees them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import tensorflow as tf
from jax import export
from tensorflow.core.protobuf import saved_model_pb2

import tandem_export
from tandem_export.bundle.vetting import check_model
from tandem_export.bundle.vetting.savedmodel import FILES
from tandem_export.errors import BundleError
from tests.bundle import sample
from tests.serving.bundles import model_folder, rounds_only

NAME = "saved_model.pb"


@cache
def original() -> bytes:
    return (model_folder(rounds_only()) / NAME).read_bytes()


def changed(change: Callable[[Any], object]) -> bytes:
    model = saved_model_pb2.SavedModel.FromString(original())
    change(model.meta_graphs[0])
    return model.SerializeToString()


def check(data: bytes, files: tuple[str, ...] = FILES) -> None:
    check_model(rounds_only().in_form("savedmodel").manifest.graphs, files, data)


def node(nodes: Any, name: str, operation: str, *inputs: str, text: str | None = None) -> Any:
    made = nodes.add(name=name, op=operation, input=inputs)
    if text is not None:
        made.attr["dtype"].type = tf.string.as_datatype_enum
        made.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(text))
    return made


def write_when_loaded(meta: Any, path: str = "/tmp/other") -> None:
    """The init operation waits for a file to be written."""
    nodes = meta.graph_def.node
    node(nodes, "name", "Const", text=path)
    node(nodes, "evil", "WriteFile", "name", "name")
    next(own for own in nodes if own.name == "NoOp").input.append("^evil")


def read_in_a_function(meta: Any) -> None:
    function = meta.graph_def.library.function[0]
    node(function.node_def, "evil", "ReadFile", "n0")


def restorer(meta: Any) -> Any:
    functions = meta.graph_def.library.function
    return next(f for f in functions if any(n.op == "RestoreV2" for n in f.node_def))


def restore_another_file(meta: Any) -> None:
    node(meta.graph_def.node, "other", "Const", text="/root/model/variables")
    calls = [own for own in meta.graph_def.node if _calls(own, restorer(meta).signature.name)]
    calls[0].input[0] = "other"


def restore_by_a_constant_inside(meta: Any) -> None:
    function = restorer(meta)
    node(function.node_def, "other", "Const", text="/root/model/variables")
    next(own for own in function.node_def if own.op == "RestoreV2").input[0] = "other:output:0"


def restore_from_a_function(meta: Any) -> None:
    name = restorer(meta).signature.name
    call = node(meta.graph_def.library.function[0].node_def, "c", "PartitionedCall", "n0")
    call.attr["f"].func.name = name


def _calls(own: Any, name: str) -> bool:
    return any(value.func.name == name for value in own.attr.values())


def modules(meta: Any) -> list[Any]:
    functions = meta.graph_def.library.function
    return [own for f in functions for own in f.node_def if own.op == "XlaCallModule"]


def call_back(meta: Any) -> None:
    called = modules(meta)[0].attr["function_list"].list.func.add()
    called.name = meta.graph_def.library.function[0].signature.name


def call_python(meta: Any) -> None:
    shape = jax.ShapeDtypeStruct((2,), jnp.float32)
    checks = [export.DisabledSafetyCheck.custom_call("xla_ffi_python_cpu_callback")]
    function = jax.jit(lambda x: jax.ffi.ffi_call("xla_ffi_python_cpu_callback", shape)(x))
    made = export.export(function, platforms=["cpu"], disabled_checks=checks)(shape)
    for own in modules(meta):
        own.attr["module"].s = made.mlir_module_serialized


def through_an_attribute(meta: Any) -> None:
    call = next(own for own in meta.graph_def.node if own.attr["f"].func.name)
    call.attr["f"].func.attr["f"].func.name = restorer(meta).signature.name


def with_an_asset(meta: Any) -> None:
    meta.asset_file_def.add(filename="../../other")


def with_a_collection(meta: Any) -> None:
    meta.collection_def["variables"].bytes_list.value.append(b"x")


def with_a_gradient(meta: Any) -> None:
    meta.graph_def.library.gradient.add(function_name="f", gradient_func="g")


def without_a_signature(meta: Any) -> None:
    del meta.signature_def["insert"]


def test_what_was_built_is_allowed() -> None:
    check(original())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (write_when_loaded, "Got: 'WriteFile'"),
        (read_in_a_function, "Got: 'ReadFile'"),
        (restore_another_file, "must read the file that the loader names"),
        (restore_by_a_constant_inside, "must read the file that it is given"),
        (restore_from_a_function, "must read the file that the loader names"),
        (call_back, "must hold a module and call no function"),
        (call_python, r"custom calls of `\w+` on cpu must be among"),
        (through_an_attribute, "must be called without attributes"),
        (with_an_asset, "must have no assets"),
        (with_a_collection, r"no collection but .* Got: .*'variables'"),
        (with_a_gradient, "must define no gradients"),
        (without_a_signature, "must have the signature 'insert'"),
    ],
)
def test_what_does_more_is_refused(change: Callable[[Any], object], text: str) -> None:
    with pytest.raises(BundleError, match=rf"^the SavedModel: .*{text}"):
        check(changed(change))


def test_what_a_parser_would_merge_is_looked_at() -> None:
    """A second graph in the same field becomes one with the first."""
    more = saved_model_pb2.SavedModel().meta_graphs.add()
    node(more.graph_def.node, "evil", "WriteFile")
    meta = saved_model_pb2.SavedModel.FromString(original()).meta_graphs[0]
    inner = meta.SerializeToString() + more.SerializeToString()
    size, head = len(inner), bytearray()
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    data = b"\x12" + bytes([*head, size]) + inner
    operations = {
        n.op for n in saved_model_pb2.SavedModel.FromString(data).meta_graphs[0].graph_def.node
    }
    assert "WriteFile" in operations, "that is what TensorFlow reads"
    with pytest.raises(BundleError, match="Got: 'WriteFile'"):
        check(data)


@pytest.mark.parametrize("name", ["saved_model.cpb", "saved_model.pbtxt", "assets/words"])
def test_files_that_tensorflow_could_prefer_are_refused(name: str) -> None:
    with pytest.raises(BundleError, match=f"only its graph and weights. Got: '{name}'"):
        check(original(), (*FILES, name))


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\x12\x05ab", original], ids=["empty", "byte", "short", "cut"]
)
def test_cut_bytes_are_refused(data: Any) -> None:
    text: Any = data() if callable(data) else data
    with pytest.raises(BundleError, match=r"^the SavedModel: "):
        check(text[:-100] if callable(data) else text)


def test_loading_a_hostile_bundle_writes_nothing(tmp_path: Path) -> None:
    """Hashes are right, so the bytes reach the executor."""
    target, path = tmp_path / "written", tmp_path / "b"
    shutil.copytree(rounds_only().path, path)
    data = changed(lambda meta: write_when_loaded(meta, str(target)))
    name = rounds_only().in_form("savedmodel").manifest.graphs[0].files["savedmodel"]
    (path / name).write_bytes(data)
    facts = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    sample.edit(path, lambda values: values["files"].update({name: facts}))
    with pytest.raises(BundleError, match=r"Got: 'WriteFile'\. Do not run it"):
        tandem_export.load(path, executor="tensorflow", modes=())
    assert not target.exists()
