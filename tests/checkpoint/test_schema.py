"""The JSON schema says what the writer writes, no more and no less."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import tandem_export.checkpoint.schema as schema_module
from tandem_export.checkpoint import Vocabulary
from tandem_export.checkpoint.document import parse, read_document, render
from tandem_export.checkpoint.files import FileEntry
from tandem_export.config import _ADDED, DecoderConfig, RopeConfig, RouterConfig, TandemConfig

SCHEMA = json.loads((Path(schema_module.__file__).parent / "schema.json").read_text())
DEFS = SCHEMA["$defs"]
RECORDS = {
    "decoder": (DecoderConfig, DEFS["decoder"]),
    "rope": (RopeConfig, DEFS["rope"]),
    "router": (RouterConfig, DEFS["router"]),
    "pair": (TandemConfig, SCHEMA["properties"]["config"]),
    "vocabulary": (Vocabulary, SCHEMA["properties"]["vocabulary"]),
    "file": (FileEntry, DEFS["file"]),
}


def test_schema_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema_version"]["const"] == schema_module.SCHEMA_VERSION


@pytest.mark.parametrize(("record", "schema"), RECORDS.values(), ids=RECORDS)
def test_keys_are_the_fields(record, schema):
    fields = {field.name for field in dataclasses.fields(record)}
    assert set(schema["properties"]) == fields
    assert fields - set(schema["required"]) <= {"begin_token", *_ADDED}
    assert schema["additionalProperties"] is False


def test_what_is_written_has_every_key_of_the_schema(folder: Path):
    written = json.loads((folder / "tandem.json").read_text())
    assert set(written) == set(SCHEMA["properties"]) == set(SCHEMA["required"])
    assert set(written["vocabulary"]) == set(SCHEMA["properties"]["vocabulary"]["properties"])


def test_render_is_the_inverse_of_parse(folder: Path):
    document = read_document(folder / "tandem.json")
    assert parse(render(document)) == document
    assert render(document) == (folder / "tandem.json").read_text()
