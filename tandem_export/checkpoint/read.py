"""Reads a checkpoint, and refuses one that does not agree with itself."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tandem_export.checkpoint.consistency import check_rows, check_tokenizer, check_vocabulary
from tandem_export.checkpoint.document import DOCUMENT_NAME, Document, read_document
from tandem_export.checkpoint.files import verified
from tandem_export.checkpoint.orbax import read_orbax
from tandem_export.checkpoint.record import Checkpoint, naming, read_text
from tandem_export.checkpoint.tensors import read_part
from tandem_export.data import PREFIX, demo_path
from tandem_export.errors import CheckpointError

TEXTS = ("tokenizer", "chat_template")


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads and checks a checkpoint.

    Every file is held against its sha256 before anything is loaded from it. Tensors in safetensors
    files are mapped, not copied; nothing in a checkpoint is ever executed or unpickled.

    Args:
      path: a folder (its `tandem.json` is meant), a JSON file in such a folder, or `demo:NAME`.

    Raises:
      CheckpointError: the checkpoint is missing, damaged, of another version, or its parts do not
        agree; the text names the file and the tensor or JSON path.
    """
    file = _document_file(os.fspath(path))
    document = read_document(file)
    with naming(file.name):
        check_vocabulary(document.vocabulary, document.config)
        paths = {
            label: verified(file.parent, entry, is_folder=label == "orbax")
            for label, entry in document.files.items()
        }
    return Checkpoint(
        config=document.config,
        vocabulary=document.vocabulary,
        tokenizer_json=_read_tokenizer(paths["tokenizer"], document),
        params=_read_checked(paths, document),
        provenance=document.provenance,
        source={label: entry.sha256 for label, entry in document.files.items()},
        chat_template=_read_chat_template(paths),
    )


def _document_file(path: str) -> Path:
    file = demo_path(path) if path.startswith(PREFIX) else Path(path)
    file = file / DOCUMENT_NAME if file.is_dir() else file
    if not file.is_file():
        raise CheckpointError(
            f"there is no checkpoint at {path!r}: expected a folder with a `{DOCUMENT_NAME}`, a "
            f"JSON file in such a folder, or `{PREFIX}NAME`. Got: no file {str(file)!r}"
        )
    return file


def _read_tokenizer(path: Path, document: Document) -> str:
    with naming(path.name):
        text = read_text(path)
        check_tokenizer(text, document.vocabulary)
    return text


def _read_chat_template(paths: dict[str, Path]) -> str | None:
    if "chat_template" not in paths:
        return None
    with naming(paths["chat_template"].name):
        return read_text(paths["chat_template"])


def _read_checked(paths: dict[str, Path], document: Document) -> dict[str, dict[str, np.ndarray]]:
    params = _read_params(paths, document)
    if document.config.is_reduced:
        with naming("drafter"):
            check_rows(params["drafter"]["vocabulary.rows"], document.config)
    return params


def _read_params(paths: dict[str, Path], document: Document) -> dict[str, dict[str, np.ndarray]]:
    if "orbax" in paths:
        with naming(paths["orbax"].name):
            return read_orbax(paths["orbax"], document.config)
    params = {}
    for part in [label for label in paths if label not in TEXTS]:
        with naming(paths[part].name):
            params[part] = read_part(paths[part], document.config, part)
    return params
