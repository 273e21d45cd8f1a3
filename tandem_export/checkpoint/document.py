"""Reads and writes the text of `tandem.json` and its siblings."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from tandem_export.checkpoint.files import FileEntry
from tandem_export.checkpoint.record import Vocabulary, naming, read_text
from tandem_export.checkpoint.schema import SCHEMA_VERSION, validate
from tandem_export.config import TandemConfig, from_dict, to_dict
from tandem_export.errors import CheckpointError
from tandem_export.jsontypes import JsonObject
from tandem_export.storage import parse_json

DOCUMENT_NAME = "tandem.json"


@dataclass(frozen=True, kw_only=True)
class Document:
    """The contents of a checkpoint's JSON file.

    Attributes:
      files: `tokenizer`, `chat_template` if there is one, and either `primary`, `drafter` and (if
        the config has one) `router`, or `orbax` for all of these at once.
      dtype: of the stored tensors, `float32`, `bfloat16` or `mixed`. For people; readers go by the
        tensors themselves.
    """

    config: TandemConfig
    vocabulary: Vocabulary
    provenance: JsonObject
    files: dict[str, FileEntry]
    dtype: str

    def __post_init__(self) -> None:
        if "orbax" in self.files or ("router" in self.files) == (self.config.router is not None):
            return
        got = "files" if "router" in self.files else "config"
        raise CheckpointError(
            f"`config.router` and `files.router` must come together. Got: `{got}.router` alone"
        )


def parse(text: str, name: str = DOCUMENT_NAME) -> Document:
    """Returns a document from its text; `name` is that of its file.

    Raises:
      CheckpointError: not JSON, another schema version, a breach of the schema or of a config rule.
    """
    values = parse_json(text, name=name, error=CheckpointError)
    validate(values)
    vocabulary = values["vocabulary"]
    return Document(
        config=from_dict(values["config"]),
        vocabulary=Vocabulary(**vocabulary | {"end_tokens": tuple(vocabulary["end_tokens"])}),
        provenance=values["provenance"],
        files={name: FileEntry(**entry) for name, entry in values["files"].items()},
        dtype=values["dtype"],
    )


def read_document(path: Path) -> Document:
    """Returns a document from its file; none of the files it names is touched.

    Raises:
      CheckpointError: as `parse`, naming the file; or it is not UTF-8.
    """
    with naming(path.name):
        return parse(read_text(path), path.name)


def render(document: Document) -> str:
    """Returns the text of a document, the inverse of `parse`.

    Raises:
      CheckpointError: `provenance` holds something that is not JSON.
    """
    values = {
        "schema_version": SCHEMA_VERSION,
        "config": to_dict(document.config),
        "vocabulary": dataclasses.asdict(document.vocabulary),
        "provenance": document.provenance,
        "files": {name: dataclasses.asdict(entry) for name, entry in document.files.items()},
        "dtype": document.dtype,
    }
    try:
        return json.dumps(values, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"`provenance` must be plain JSON values. Got: {error}") from error
