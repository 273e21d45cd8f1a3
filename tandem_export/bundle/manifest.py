"""The manifest: what a bundle holds, for whom it was built, and until when it may be used."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from tandem_export.bundle.facts import BuildRecord, TargetFacts, Tuning
from tandem_export.config import DecoderConfig, RouterConfig, to_dict
from tandem_export.jsontypes import JsonObject

# The version rises with every change that an older reader would misread.
# Version 1: the first one.
# Version 2: StableHLO graphs have one artifact for each platform, and no platform index.
# Version 3: there is no `calibration`, which earlier readers ask for and nothing ever filled.
FORMAT_VERSION = 3
READ_VERSIONS = (1, 2, 3)


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
    custom_calls: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    difference: float | None
    files: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def forms(self) -> frozenset[str]:
        """The kinds of its files, whatever the platform."""
        return frozenset(form.partition("/")[0] for form in self.files)


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """The pair: its configurations, as in `TandemConfig`, and its vocabulary.

    `tau` is the checkpoint's default threshold; None without a router.
    """

    kind: Literal["tandem", "independent"]
    primary: DecoderConfig
    drafter: DecoderConfig
    router: RouterConfig | None
    layer_map: tuple[int, ...]
    vocab_size: int
    end_tokens: tuple[int, ...]
    begin_token: int | None
    tau: float | None


@dataclass(frozen=True, kw_only=True)
class CheckpointRecord:
    """Where the weights came from: sha256 of each checkpoint file, and its training provenance."""

    source: dict[str, str]
    provenance: JsonObject


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything that a reader knows of a bundle without opening another file.

    Attributes:
      created: ISO 8601 time with its offset.
      options: what it was built with.
      files: relative path -> hash and size, every file but the manifest and its digest.
      versions: tool -> version.
      not_after: part -> last ISO date on which it may be used, or None.
      tuning: what was found out about it since.
      targets: what targets say of their parts.
    """

    name: str
    created: str
    model: ModelRecord
    checkpoint: CheckpointRecord
    options: BuildRecord
    versions: dict[str, str]
    not_after: dict[str, str | None]
    tuning: Tuning = field(default_factory=Tuning)
    targets: TargetFacts = field(default_factory=TargetFacts)
    graphs: tuple[GraphRecord, ...] = ()
    files: dict[str, FileRecord] = field(default_factory=dict[str, FileRecord])
    format_version: int = FORMAT_VERSION

    def to_dict(self) -> JsonObject:
        """Returns the manifest as JSON values; in `tuning` and `targets`, None is left out."""
        values = to_dict(self)
        for part in ("tuning", "targets"):
            stated = values[part].items()
            values[part] = {name: value for name, value in stated if value not in (None, {})}
        return values

    def to_json(self) -> bytes:
        """Returns the bytes of the manifest's file."""
        return encode(self.to_dict())

    def expired(self, today: date) -> list[str]:
        """Returns the parts that may no longer be used on `today`, sorted."""
        ends = {part: end for part, end in self.not_after.items() if end is not None}
        return sorted(part for part, end in ends.items() if date.fromisoformat(end) < today)


def encode(values: JsonObject) -> bytes:
    """Returns the values of a manifest as compact JSON with sorted keys."""
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
