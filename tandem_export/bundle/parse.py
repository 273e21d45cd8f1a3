"""Reads a manifest: format version, schema, then records."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

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
from tandem_export.errors import BundleError
from tandem_export.storage import first_breach, make_validator, parse_json


@cache
def _validator() -> Any:
    text = resources.files("tandem_export.bundle").joinpath("schema.json").read_text("utf-8")
    return make_validator(json.loads(text))


def parse_manifest(data: bytes) -> Manifest:
    """Reads and checks a manifest.

    Raises:
      BundleError: not JSON, of another format version, or against the schema; the text names the
        place in the file.
    """
    values = parse_json(data, name=MANIFEST, error=BundleError)
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, bool) or version not in READ_VERSIONS:
        hint = "Rebuild the bundle with this version of tandem-export, or read it with its own."
        raise BundleError(
            f"`format_version` must be one of {READ_VERSIONS}. Got: {version!r}. {hint}"
        )
    wrong = first_breach(_validator(), values)
    if wrong is not None:
        raise BundleError(f"manifest.json, at {wrong.json_path}: {wrong.message[:300]}")
    return _manifest(values)


def _manifest(values: dict[str, Any]) -> Manifest:
    fields = dict(values)
    fields["model"] = _model(values["model"])
    fields["checkpoint"] = CheckpointRecord(**values["checkpoint"])
    fields["graphs"] = tuple(_graph(graph) for graph in values["graphs"])
    fields["files"] = {name: FileRecord(**record) for name, record in values["files"].items()}
    return Manifest(**fields)


def _model(values: dict[str, Any]) -> ModelRecord:
    fields = dict(values)
    for name in ("layer_map", "end_tokens"):
        fields[name] = tuple(values[name])
    return ModelRecord(**fields)


def _graph(values: dict[str, Any]) -> GraphRecord:
    fields = dict(values)
    for name in ("params", "state", "inputs", "outputs"):
        fields[name] = _specs(values[name])
    fields["platforms"] = tuple(values["platforms"])
    calls = values.get("custom_calls", {})  # format 1 lists none
    fields["custom_calls"] = {form: tuple(own) for form, own in calls.items()}
    return GraphRecord(**fields)


def _specs(values: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=spec["name"], shape=tuple(spec["shape"]), dtype=spec["dtype"])
        for spec in values
    )
