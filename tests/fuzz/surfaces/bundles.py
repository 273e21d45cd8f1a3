"""Bundles: manifest, listed files, weight store, graphs. Hashes are right after each change."""

from __future__ import annotations

import hashlib
import json
import random
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tandem_export.bundle import describe, open_bundle
from tandem_export.bundle.layout import DIGEST, MANIFEST, digest_line
from tandem_export.runtime.rounds.buckets import batches_of, limits_of
from tests.bundle import sample
from tests.fuzz.mutate import change_bytes, change_values, json_bytes
from tests.fuzz.surface import put_odd, replaced

CHAT = "chat_template.jinja"


def prepare(folder: Path) -> Any:
    """The sample bundle with a chat template, and graphs that a runtime could anchor on."""
    path = sample.write(folder / "bundle")
    keys = {"name": "primary_k.00", "shape": [1, 1, 16, 4], "dtype": "float32"}
    values = json.loads((path / MANIFEST).read_bytes())
    values["graphs"][0] |= {"role": "insert", "gamma": None, "width": None}
    values["graphs"][0]["state"].append(keys)
    put(path, values, CHAT, b"{{ messages }}")
    write(path, json.dumps(values).encode())
    return values


def write(path: Path, manifest: bytes) -> None:
    (path / MANIFEST).write_bytes(manifest)
    (path / DIGEST).write_text(digest_line(manifest))


def put(path: Path, values: dict[str, Any], name: str, data: bytes) -> None:
    """Writes a file and lists it in the manifest."""
    (path / name).write_bytes(data)
    values["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def use(path: Path) -> None:
    """What a reader of a bundle does before an engine has its turn."""
    bundle = open_bundle(path, allow_expired=True)
    describe(bundle)
    _ = bundle.chat_template
    bundle.weights()
    for graph in bundle.manifest.graphs[:2]:
        for kind in graph.files:
            bundle.graph_bytes(graph.name, kind)
    for batch in batches_of(bundle):
        limits_of(bundle, batch)


def manifest(rng: random.Random, folder: Path, material: Any) -> None:
    path = folder / "bundle"
    write(path, json_bytes(rng, material))
    try:
        use(path)
    finally:
        write(path, json.dumps(material).encode())


def files(rng: random.Random, folder: Path, material: Any) -> None:
    """A listed file is another one, a FIFO or a link."""
    path, values = folder / "bundle", json.loads(json.dumps(material))
    name = rng.choice(sorted(values["files"]))
    with ExitStack() as stack:
        stack.enter_context(replaced(path / name, (path / name).read_bytes()))
        if rng.random() < 0.3:
            put_odd(rng, path / name)
            values["files"][name]["bytes"] = 0
        else:
            put(path, values, name, change_bytes(rng, (path / name).read_bytes()))
        try:
            write(path, json.dumps(values).encode())
            use(path)
        finally:
            write(path, json.dumps(material).encode())


def weights(rng: random.Random, folder: Path, material: Any) -> None:
    path, values = folder / "bundle", json.loads(json.dumps(material))
    name = "weights.safetensors"
    with replaced(path / name, (path / name).read_bytes()):
        put(path, values, name, change_safetensors(rng, (path / name).read_bytes()))
        try:
            write(path, json.dumps(values).encode())
            use(path)
        finally:
            write(path, json.dumps(material).encode())


def change_safetensors(rng: random.Random, data: bytes) -> bytes:
    """The header changed as JSON with its length right, or the bytes."""
    size = int.from_bytes(data[:8], "little")
    if rng.random() < 0.2:
        return change_bytes(rng, data, range(8 + size))
    header = json.loads(data[8 : 8 + size])
    text = (
        json.dumps(change_values(rng, header)).encode()
        if rng.random() < 0.7
        else json_bytes(rng, header)
    )
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def prepare_export(folder: Path) -> Any:
    """A bundle with one real exported function."""
    import jax
    import jax.numpy as jnp
    from jax import export

    from tandem_export.bundle import Artifact, BundleWriter, GraphRecord, TensorSpec

    def step(params: Any, state: Any, inputs: Any) -> Any:
        after = {"position": state["position"] + inputs["tokens"]}
        return {
            "count": jnp.sum(params["primary.table"]) + after["position"].astype("float32")
        }, after

    shapes = (
        {"primary.table": jax.ShapeDtypeStruct((4, 3), "float32")},
        {"position": jax.ShapeDtypeStruct((1,), "int32")},
        {"tokens": jax.ShapeDtypeStruct((1,), "int32")},
    )
    exported = export.export(jax.jit(step), platforms=("cpu",))(*shapes)
    specs = [
        tuple(TensorSpec(name=n, shape=s.shape, dtype=str(s.dtype)) for n, s in part.items())
        for part in shapes
    ]
    record = GraphRecord(
        name="round_b1_g1",
        role="round",
        batch=1,
        gamma=1,
        width=2,
        parity="P0",
        params=specs[0],
        state=specs[1],
        inputs=specs[2],
        outputs=(TensorSpec(name="count", shape=(1,), dtype="float32"),),
        calling_convention_version=exported.calling_convention_version,
        stablehlo_version="1.15.0",
        platforms=("cpu", "tpu"),
        difference=None,
    )
    with BundleWriter(folder / "bundle") as writer:
        writer.add_weights(sample.WEIGHTS, "float32")
        writer.add_file("tokenizer.json", b"{}")
        whole = bytes(exported.serialize())
        module = exported.mlir_module_serialized
        writer.add_graph(record, {"cpu": Artifact(jax_export=whole, stablehlo=module)})
        writer.commit(sample.manifest())
    return json.loads((folder / "bundle" / MANIFEST).read_bytes())


def artifact_of(head: bytes) -> bytes:
    """A stored `jax_export` file whose bytes before the module are `head`."""
    return zlib.compress(len(head).to_bytes(8, "little") + head)


def artifact(rng: random.Random, folder: Path, material: Any) -> None:
    """The module's bytes, or what stands around them, changed; read as the executor reads them."""
    from tandem_export.runtime.executors.jax import read_export

    path, values = folder / "bundle", json.loads(json.dumps(material))
    kind = rng.choice(("stablehlo/cpu", "jax_export/cpu"))
    name = values["graphs"][0]["files"][kind]
    old = (path / name).read_bytes()
    with replaced(path / name, old):
        if kind == "stablehlo/cpu" or rng.random() < 0.2:
            data = change_bytes(rng, old)
        else:
            data = zlib.compress(change_bytes(rng, zlib.decompress(old)))
        put(path, values, name, data)
        try:
            write(path, json.dumps(values).encode())
            bundle = open_bundle(path, allow_expired=True)
            read_export(bundle, bundle.manifest.graphs[0])
        finally:
            write(path, json.dumps(material).encode())
