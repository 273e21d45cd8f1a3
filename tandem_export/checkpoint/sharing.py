"""A second checkpoint in a folder: it shares primary and tokenizer with `tandem.json`."""

from __future__ import annotations

from pathlib import Path

from tandem_export.checkpoint.document import DOCUMENT_NAME, Document, read_document
from tandem_export.checkpoint.files import FileEntry
from tandem_export.checkpoint.read import read_checkpoint
from tandem_export.checkpoint.record import Vocabulary, naming
from tandem_export.checkpoint.tensors import check_same
from tandem_export.config import TandemConfig
from tandem_export.errors import CheckpointError
from tandem_export.jsontypes import JsonObject

SHARED = ("primary", "tokenizer", "chat_template")


def shared_entries(folder: Path, name: str) -> dict[str, FileEntry]:
    """Returns the entries of the files that a second checkpoint `name` shares with `tandem.json`.

    Raises:
      CheckpointError: there is no `tandem.json`, it is stored as Orbax, or `name` is one of its
        files.
    """
    base = _base(folder)
    if "primary" not in base.files:
        raise CheckpointError(
            f"`{DOCUMENT_NAME}` is stored as Orbax, so `{name}` cannot share its primary: "
            "write both with `storage='safetensors'`"
        )
    if name in {entry.path for entry in base.files.values()}:
        raise CheckpointError(f"`name` must not be a file of `{DOCUMENT_NAME}`. Got: {name!r}")
    return {label: base.files[label] for label in SHARED if label in base.files}


def _base(folder: Path) -> Document:
    if not (folder / DOCUMENT_NAME).is_file():
        raise CheckpointError(
            f"a `name` other than `{DOCUMENT_NAME}` adds to a checkpoint, and there is none in "
            f"{str(folder)!r}: write `{DOCUMENT_NAME}` first"
        )
    return read_document(folder / DOCUMENT_NAME)


def check_shared(
    folder: Path,
    *,
    config: TandemConfig,
    vocabulary: Vocabulary,
    tokenizer_json: str,
    chat_template: str | None,
    primary: JsonObject,
) -> None:
    """Checks that what is to be shared is what `tandem.json` has.

    Raises:
      CheckpointError: `tandem.json` is damaged, or its primary, vocabulary, tokenizer or chat
        template is another.
    """
    base = read_checkpoint(folder)
    with naming(DOCUMENT_NAME):
        pairs = (
            ("config.primary", base.config.primary, config.primary),
            ("vocabulary", base.vocabulary, vocabulary),
        )
        for what, expected, got in pairs:
            if got != expected:
                raise CheckpointError(f"its `{what}` is shared and is {expected}. Got: {got}")
        for what, expected, got in (
            ("tokenizer", base.tokenizer_json, tokenizer_json),
            ("chat template", base.chat_template, chat_template),
        ):
            if got != expected:
                raise CheckpointError(f"its {what} is shared. Got: a {what} with another text")
        check_same(base.params["primary"], primary)
