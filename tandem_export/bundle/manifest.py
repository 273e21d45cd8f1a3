"""The manifest: what a bundle holds, for whom it was built, and until when it may be used."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import date
from typing import Any

# The version rises with every change that an older reader would misread.
# Version 1: the first one.
# Version 2: StableHLO graphs have one artifact for each platform, and no platform index.
FORMAT_VERSION = 2
READ_VERSIONS = (1, 2)


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One argument or result of a graph; `dtype` is numpy's name, or `bfloat16`."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """The sha256 (hex) and the size of one file."""

    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class GraphRecord:
    """One graph of a bundle.

    Attributes:
      batch, gamma, width: the bucket; gamma and width are None where the role has none.
      parity: P0 or P1, the level that its tokens hold against the primary alone.
      params, state, inputs: the arguments in order: all of params, then state, then inputs, each
        sorted by name. `state` is donated.
      outputs: the results in order; the new state follows them, in the order of `state`.
      files: form -> path: `jax_export/PLATFORM` and `stablehlo/PLATFORM` for each of `platforms`,
        or `onnx`, or `savedmodel`. Names are unique in a form. In the form `onnx` the contract is
        `rows`: `state` is read, not donated and not returned; the outputs `rows.<state name>` are
        what the caller writes into it. In the form `savedmodel` the graph is a signature, and
        `state` stays in the server
        (docs/how-to/tf-serving.md).
      calling_convention_version: jax.export's, of the `jax_export` form; else None.
      stablehlo_version: the version that the portable artifact targets, such as `1.15.0`, or None.
      opset: the ONNX operator set of the `onnx` form, or None.
      platforms: what it was lowered for, jax's names. ONNX has none.
      custom_calls: form -> targets of the custom calls in that StableHLO module, sorted; an engine
        needs an implementation of each of its own. Read from the module when it was written.
      difference: largest absolute difference to the traced function on random values, measured when
        it was built; None where that was not asked for, or the building machine could not run it.
    """

    name: str
    role: str
    batch: int
    gamma: int | None
    width: int | None
    parity: str
    params: tuple[TensorSpec, ...]
    state: tuple[TensorSpec, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    calling_convention_version: int | None = None
    stablehlo_version: str | None = None
    opset: int | None = None
    platforms: tuple[str, ...] = ()
    custom_calls: dict[str, tuple[str, ...]] = field(default_factory=dict)
    difference: float | None
    files: dict[str, str] = field(default_factory=dict)

    @property
    def forms(self) -> frozenset[str]:
        """The kinds of its files, whatever the platform."""
        return frozenset(form.partition("/")[0] for form in self.files)


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """The pair: both decoder configs and the router's as plain objects, and its vocabulary.

    `tau` is the checkpoint's default threshold; None without a router.
    """

    kind: str
    primary: dict[str, Any]
    drafter: dict[str, Any]
    router: dict[str, Any] | None
    layer_map: tuple[int, ...]
    vocab_size: int
    end_tokens: tuple[int, ...]
    begin_token: int | None
    tau: float | None


@dataclass(frozen=True, kw_only=True)
class CheckpointRecord:
    """Where the weights came from: sha256 of each checkpoint file, and its training provenance."""

    source: dict[str, str]
    provenance: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything that a reader knows of a bundle without opening another file.

    Attributes:
      created: ISO 8601 time with its offset.
      options: the build options: `batch`, `gamma`, `prompt` buckets, `cache`, `max_new`, `dtype`,
        `attention`, `least_rows`, `lossless`, `platforms`.
      files: relative path -> hash and size, every file but the manifest and its digest.
      versions: tool -> version.
      not_after: part -> last ISO date on which it may be used, or None.
      calibration: router calibration; empty when none was made.
      tuning: costs and chosen gammas per bucket; empty when none were measured.
      targets: what a target says of its own part: folder, versions that it needs.
    """

    name: str
    created: str
    model: ModelRecord
    checkpoint: CheckpointRecord
    options: dict[str, Any]
    versions: dict[str, str]
    not_after: dict[str, str | None]
    calibration: dict[str, Any] = field(default_factory=dict)
    tuning: dict[str, Any] = field(default_factory=dict)
    targets: dict[str, Any] = field(default_factory=dict)
    graphs: tuple[GraphRecord, ...] = ()
    files: dict[str, FileRecord] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_json(self) -> bytes:
        """Compact JSON with sorted keys."""
        values = dataclasses.asdict(self)
        return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()

    def expired(self, today: date) -> list[str]:
        """The parts that may no longer be used on `today`, sorted."""
        ends = {part: end for part, end in self.not_after.items() if end is not None}
        return sorted(part for part, end in ends.items() if date.fromisoformat(end) < today)
