"""Reads a manifest: format version, schema, then records."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from importlib import resources
from typing import TypeVar, cast

from jsonschema.protocols import Validator

from tandem_export.bundle.facts import BuildRecord, SavedModelFacts, TargetFacts, Tuning
from tandem_export.bundle.layout import MANIFEST
from tandem_export.bundle.manifest import (
    READ_VERSIONS,
    CheckpointRecord,
    FileRecord,
    GraphRecord,
    Manifest,
    ModelRecord,
    TensorSpec,
)
from tandem_export.config import DecoderConfig, RopeConfig, RouterConfig, from_dict
from tandem_export.contract import MODELS
from tandem_export.errors import BundleError, ConfigError
from tandem_export.jsontypes import Json, JsonObject
from tandem_export.storage import first_breach, make_validator, parse_json

Record = TypeVar("Record")


@cache
def _validator() -> Validator:
    text = resources.files("tandem_export.bundle").joinpath("schema.json").read_text("utf-8")
    return make_validator(json.loads(text))


def parse_manifest(data: bytes) -> Manifest:
    """Reads and checks a manifest.

    Raises:
      BundleError: not JSON, of another format version, or against the schema; the text names the
        place in the file.
    """
    values = parse_json(data, name=MANIFEST, error=BundleError)
    fields = cast("JsonObject", values if isinstance(values, dict) else {})
    version = fields.get("format_version")
    if isinstance(version, bool) or version not in READ_VERSIONS:
        hint = "Rebuild the bundle with this version of tandem-export, or read it with its own."
        raise BundleError(
            f"`format_version` must be one of {READ_VERSIONS}. Got: {version!r}. {hint}"
        )
    wrong = first_breach(_validator(), values)
    if wrong is not None:
        raise BundleError(f"manifest.json, at {wrong.json_path}: {wrong.message[:300]}")
    return _manifest(fields)


def _manifest(values: JsonObject) -> Manifest:
    fields = values | {
        "model": _model(values["model"]),
        "checkpoint": CheckpointRecord(**values["checkpoint"]),
        "options": _record(BuildRecord, values["options"]),
        "tuning": _record(Tuning, values["tuning"]),
        "targets": _targets(values.get("targets", {})),
        "graphs": tuple(_graph(graph) for graph in values["graphs"]),
        "files": {name: FileRecord(**record) for name, record in values["files"].items()},
    }
    return _record(Manifest, fields)


def _record(kind: type[Record], values: JsonObject) -> Record:
    """Builds a dataclass from JSON: lists become tuples, unknown keys are left out."""
    return kind(**{name: _frozen(value) for name, value in _known(kind, values).items()})


def _frozen(value: Json) -> Json:
    return tuple(cast("list[Json]", value)) if isinstance(value, list) else value


def _model(values: JsonObject) -> ModelRecord:
    wanted = {name: values[name] for name in ("kind", "layer_map")}
    wanted |= {name: _decoder(values[name]) for name in MODELS}
    router = values["router"]
    wanted["router"] = None if router is None else _known(RouterConfig, router)
    try:
        pair = from_dict(wanted, "model")
    except ConfigError as error:
        raise BundleError(f"manifest.json, at $.model: {error}") from error
    configs = {name: getattr(pair, name) for name in wanted}
    return _record(ModelRecord, values | configs)


def _decoder(values: JsonObject) -> JsonObject:
    known = _known(DecoderConfig, values)
    return known | {"rope": _known(RopeConfig, known["rope"])} if "rope" in known else known


def _known(kind: type, values: JsonObject) -> JsonObject:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def _targets(values: JsonObject) -> TargetFacts:
    facts = values.get("savedmodel")
    return TargetFacts(savedmodel=None if facts is None else _record(SavedModelFacts, facts))


def _graph(values: JsonObject) -> GraphRecord:
    fields = dict(values)
    for name in ("params", "state", "inputs", "outputs"):
        fields[name] = tuple(_record(TensorSpec, spec) for spec in values[name])
    calls = values.get("custom_calls", {})  # format 1 lists none
    fields["custom_calls"] = {form: tuple(names) for form, names in calls.items()}
    return _record(GraphRecord, fields)
