"""A small bundle that no engine made: the reader looks at bytes, not at what they compute."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tandem_export.bundle import (
    Artifact,
    BuildRecord,
    BundleWriter,
    CheckpointRecord,
    GraphRecord,
    Manifest,
    ModelRecord,
    TensorSpec,
)
from tandem_export.bundle.layout import DIGEST, MANIFEST, digest_line
from tandem_export.config import DecoderConfig

# count = position + primary.table[0, 0]; position + 1. Written by jax 0.10.2 for StableHLO 1.13.0.
MODULE = base64.b64decode(
    """
TUzvUg1TdGFibGVITE9fdjEuMTMuMAABIwUBBRMBAwsDEQ8TFxsfIycrA10vGwERBw8jCw8LCwsDHwsLLw8TCxMTCxMLCwsf
LwEFCw8DFxMHDxcTBx8HFxcTAgoCHxEDBQMHBwkLAw0DBRcRAQAFGQUbBR0NAR0fHw0RAQAAAAAAAAAfGQEDBRERIxEDBR8j
DQMTIR0hDQMTJR0jHSUdJx8JCQEAAAAfDREAAAAAAAAAAAEJAQICKQMJBxspAQcpBRENEykDCQ8dEQULBQUFBQkpBRENBykF
BQUHKQMBDwS5BQFRAQUBBwSnAwEFB1ABAwcEkwMVJwUVCQAJQgEFAwkLBgEDFQMBDUYBBwMXAwcPBgEDCQMJA0YBCQMFAwsF
BgEDBQUDDQNGAQkDBQMFBQYBAwUFAxERBAEFDxMGAwEFAQA6BCkPCy0nIQ0lKTkVFxMXGREPKQ8LEWJ1aWx0aW4AdmhsbwBt
b2R1bGUAYnJvYWRjYXN0X2luX2RpbV92MQBhZGRfdjEAZnVuY192MQBjb25zdGFudF92MQBjb252ZXJ0X3YxAHNsaWNlX3Yx
AHJlc2hhcGVfdjEAcmV0dXJuX3YxAGpheC51c2VzX3NoYXBlX3BvbHltb3JwaGlzbQBtaGxvLm51bV9wYXJ0aXRpb25zAG1o
bG8ubnVtX3JlcGxpY2FzAGppdF9mAGpheC5yZXN1bHRfaW5mbwByZXN1bHRbMF1bJ2NvdW50J10AcmVzdWx0WzFdWydwb3Np
dGlvbiddAG1haW4AcHVibGljAAglCwUfAQsZGx0nKQMrBxUtFQMX
    """
)
EXPORT = b"before " + MODULE + b" after"
PRIMARY = DecoderConfig(
    vocab_size=4, num_layers=3, width=3, num_heads=1, num_kv_heads=1, head_size=2, ff_size=4
)
WEIGHTS = {
    "drafter.norm": np.arange(3, dtype=np.float32),
    "primary.table": np.arange(12, dtype=np.float32).reshape(4, 3),
}


def record(name: str, role: str, batch: int, gamma: int | None, width: int | None) -> GraphRecord:
    return GraphRecord(
        name=name,
        role=role,
        batch=batch,
        gamma=gamma,
        width=width,
        parity="P0",
        params=(TensorSpec(name="primary.table", shape=(4, 3), dtype="float32"),),
        state=(TensorSpec(name="position", shape=(2,), dtype="int32"),),
        inputs=(),
        outputs=(TensorSpec(name="count", shape=(2,), dtype="int32"),),
        calling_convention_version=10,
        stablehlo_version="1.13.0",
        difference=0.0,
    )


GRAPHS = (
    record("round_b1_g1", "round", 1, 1, 2),
    record("round_b1_g3", "round", 1, 3, 4),
    record("round_b4_g3", "round", 4, 3, 4),
    record("router_b1", "router", 1, None, None),
)


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "name": "sample",
        "created": "2026-03-01T12:00:00+00:00",
        "model": ModelRecord(
            kind="tandem",
            primary=PRIMARY,
            drafter=dataclasses.replace(PRIMARY, num_layers=2),
            router=None,
            layer_map=(1, 2),
            vocab_size=4,
            end_tokens=(0, 3),
            begin_token=None,
            tau=None,
        ),
        "checkpoint": CheckpointRecord(source={"primary": "0" * 64}, provenance={"steps": 7}),
        "options": BuildRecord(
            batch=(1, 4),
            gamma=(1, 3),
            prompt=(8,),
            cache=16,
            max_new=8,
            dtype="float32",
            attention="in_cache",
            lossless="exact",
            platforms=("cpu", "tpu"),
        ),
        "versions": {"jaxlib": "0.10.2"},
        "not_after": {"jax_export": None, "stablehlo": None},
    }
    return Manifest(**values | changes)


def write(path: Path, *, overwrite: bool = False, **changes: Any) -> Path:
    """A whole bundle at `path`, `changes` in its manifest."""
    with BundleWriter(path, overwrite=overwrite) as writer:
        writer.add_weights(WEIGHTS, "float32")
        writer.add_file("tokenizer.json", b"{}")
        for graph in GRAPHS:
            artifact = Artifact(jax_export=EXPORT, stablehlo=MODULE)
            writer.add_graph(graph, {"cpu": artifact, "tpu": artifact})
        writer.commit(manifest(**changes))
    return path


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the manifest's JSON and its digest, as a person with an editor could."""
    values = json.loads((path / MANIFEST).read_bytes())
    change(values)
    data = json.dumps(values).encode()
    (path / MANIFEST).write_bytes(data)
    (path / DIGEST).write_text(digest_line(data))


def snapshot(folder: Path) -> dict[str, bytes]:
    """Relative path -> bytes of every file below `folder`."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
