"""The JSON schema of `tandem.json`, and its errors as one readable sentence."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import cast

from jsonschema import ValidationError
from jsonschema.protocols import Validator

from tandem_export.errors import CheckpointError
from tandem_export.jsontypes import Json, JsonObject
from tandem_export.storage import first_breach, make_validator

# Version history of the format. A change that an older release cannot read raises the number.
#   1: the first.
SCHEMA_VERSION = 1
READABLE_VERSIONS = (1,)


@cache
def _validator() -> Validator:
    text = (Path(__file__).parent / "schema.json").read_text(encoding="utf-8")
    return make_validator(json.loads(text))


def _where(error: ValidationError) -> str:
    path = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path
    )
    return f"`{path.removeprefix('.')}`" if path else "the top level"


def _sentence(error: ValidationError) -> str:
    where, value = _where(error), cast(Json, error.instance)
    rule = cast(Json, error.validator_value)
    schema: JsonObject = error.schema if isinstance(error.schema, dict) else {}
    if error.validator == "required":
        return f"missing key {min(set(rule) - set(value))!r} in {where}. Got: {sorted(value)}"
    if error.validator == "additionalProperties":
        known = set(schema["properties"])
        unknown = min(set(value) - known)
        return f"unknown key {unknown!r} in {where}; known keys: {sorted(known)}"
    if error.validator == "type":
        kinds = " or ".join([rule] if isinstance(rule, str) else rule)
        return f"{where} must be of JSON type {kinds}. Got: {value!r}"
    if error.validator == "enum":
        return f"{where} must be one of {rule}. Got: {value!r}"
    if "description" in schema:
        return f"{where} must be {schema['description']}. Got: {value!r}"
    return f"{where} breaks the schema: {error.message}. Got: {value!r}"


def validate(values: Json) -> None:
    """Checks the parsed JSON of a checkpoint.

    Raises:
      CheckpointError: another schema version, or the first breach of the schema with its JSON path.
    """
    if isinstance(values, dict) and "schema_version" in values:
        version = values["schema_version"]
        if version not in READABLE_VERSIONS or isinstance(version, bool):
            raise CheckpointError(
                f"`schema_version` {version!r} cannot be read: this release reads "
                f"{list(READABLE_VERSIONS)}. Use a release of tandem-export that knows it"
            )
    breach = first_breach(_validator(), values)
    if breach is not None:
        raise CheckpointError(_sentence(breach))
