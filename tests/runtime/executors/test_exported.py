"""What of a bundle reaches jax's compiler."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tandem_export.bundle import Artifact, Bundle, BundleWriter, open_bundle
from tandem_export.bundle.jax_export import split
from tandem_export.errors import BundleError
from tandem_export.runtime.executors.jax import read_export
from tandem_export.targets import build_stablehlo, export_graph
from tests.bundle import sample
from tests.targets.toy import TOY, context, leaf, step, with_function

NAME = TOY.name


def build(path: Path, platforms: tuple[str, ...] = ("cpu",)) -> Bundle:
    with BundleWriter(path) as writer:
        writer.add_weights({"primary.table": np.zeros((5, 3), np.float32)}, "float32")
        writer.add_file("tokenizer.json", b"{}")
        build_stablehlo(context([TOY], writer, platforms=platforms, check_values=False))
        writer.commit(sample.manifest())
    return open_bundle(path)


def hostile(params: Any, state: Any, inputs: Any) -> Any:
    outputs, after = step(params, state, inputs)
    like = jax.ShapeDtypeStruct((2, 3), jnp.float32)
    called = jax.ffi.ffi_call("xla_ffi_python_cpu_callback", like)(
        outputs["sum"], index=np.uint64(0)
    )
    return {"sum": called}, after


def artifact(function: Any) -> Artifact:
    jitted = jax.jit(function, donate_argnums=(1,))
    checks = [export.DisabledSafetyCheck.custom_call("xla_ffi_python_cpu_callback")]
    own = export.export(jitted, platforms=("cpu",), disabled_checks=checks)(
        TOY.params, TOY.state, TOY.inputs
    )
    return Artifact(jax_export=bytes(own.serialize()), stablehlo=own.mlir_module_serialized)


def put(bundle: Bundle, **forms: bytes) -> Bundle:
    """The bundle with other bytes for its graph, hashes and all."""
    files = {bundle.graph(NAME).files[f"{form}/cpu"]: data for form, data in forms.items()}
    for name, data in files.items():
        (bundle.path / name).write_bytes(data)

    def change(values: Any) -> None:
        for name, data in files.items():
            values["files"][name] = {
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }

    sample.edit(bundle.path, change)
    return open_bundle(bundle.path)


def read(bundle: Bundle) -> tuple[Any, Any]:
    return read_export(bundle, bundle.graph(NAME))


def test_a_graph_is_read_with_its_arguments(tmp_path: Path) -> None:
    exported, (params, state, inputs) = read(build(tmp_path / "b", ("cpu", "tpu")))
    assert (set(params), set(state), set(inputs)) == (
        {"primary.table"},
        {"cache", "position"},
        {"tokens"},
    )
    assert exported.platforms == ("cpu",)


def test_a_module_with_a_call_to_python_is_refused(tmp_path: Path) -> None:
    made = artifact(hostile)
    bundle = put(
        build(tmp_path / "b"),
        stablehlo=made.stablehlo,
        jax_export=split(made.jax_export, made.stablehlo),
    )
    with pytest.raises(BundleError, match=r"custom calls of `primary_block` on cpu .*callback"):
        read(bundle)


def test_a_module_hidden_around_the_checked_one_is_refused(tmp_path: Path) -> None:
    """The bytes before it are a whole export of their own, which is all that jax would read."""
    bundle, hidden = build(tmp_path / "b"), artifact(hostile).jax_export
    rest = zlib.compress(len(hidden).to_bytes(8, "little") + hidden)
    with pytest.raises(BundleError, match="must be an export of its StableHLO module"):
        read(put(bundle, jax_export=rest))


def test_an_export_that_takes_other_arguments_is_refused(tmp_path: Path) -> None:
    other = dataclasses.replace(
        with_function(lambda p, s, i: step(p, s, {"tokens": i["others"]})),
        inputs={"others": leaf((2,), jnp.int32)},
    )
    made = export_graph(other, "cpu", check_values=False).artifact
    rest = split(made.jax_export, made.stablehlo)
    with pytest.raises(BundleError, match="must take the arguments that the manifest lists"):
        read(put(build(tmp_path / "b"), jax_export=rest, stablehlo=made.stablehlo))


def test_bytes_that_are_no_export_are_refused(tmp_path: Path) -> None:
    rest = zlib.compress(bytes(8) + b"nothing")
    with pytest.raises(BundleError, match=r"must be what jax\.export makes"):
        read(put(build(tmp_path / "b"), jax_export=rest))


def test_a_platform_that_was_not_built_is_named(tmp_path: Path) -> None:
    text = r"no form 'jax_export/cpu'; it has: \['jax_export/tpu', 'stablehlo/tpu'\]"
    with pytest.raises(BundleError, match=text):
        read(build(tmp_path / "b", ("tpu",)))
