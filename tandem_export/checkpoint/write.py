"""Writes a checkpoint: staged beside its place, read back, then moved there in one rename."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from tandem_export.checkpoint.consistency import check_tokenizer, check_vocabulary
from tandem_export.checkpoint.document import DOCUMENT_NAME, Document, render
from tandem_export.checkpoint.files import FileEntry, describe
from tandem_export.checkpoint.orbax import ORBAX_NAME, write_orbax
from tandem_export.checkpoint.read import read_checkpoint
from tandem_export.checkpoint.record import Checkpoint, Vocabulary, naming
from tandem_export.checkpoint.sharing import check_shared, shared_entries
from tandem_export.checkpoint.staging import require_free, staged
from tandem_export.checkpoint.tensors import (
    check_params,
    check_same,
    overall_dtype,
    specs,
    write_part,
)
from tandem_export.config import TandemConfig
from tandem_export.errors import CheckpointError
from tandem_export.jsontypes import Json
from tandem_export.storage import HasShape, link_tree

TEXT_NAMES = {"tokenizer": "tokenizer.json", "chat_template": "chat_template.jinja"}
STORAGES = ("safetensors", "orbax")
Params = Mapping[str, Mapping[str, HasShape]]


def write_checkpoint(
    path: str | os.PathLike[str],
    *,
    config: TandemConfig,
    vocabulary: Vocabulary,
    tokenizer_json: str,
    params: Params,
    provenance: Mapping[str, Json],
    name: str = DOCUMENT_NAME,
    storage: Literal["safetensors", "orbax"] = "safetensors",
    overwrite: bool = False,
    chat_template: str | None = None,
) -> Checkpoint:
    """Writes a checkpoint and returns it as read back.

    Nothing at `path` changes before the new checkpoint has been written beside it and read back
    equal. A `name` other than `tandem.json` adds a second checkpoint to a folder that has one, say
    `independent.json` with `independent.drafter.safetensors`; primary and tokenizer are shared, so
    they must be those of `tandem.json`.

    Args:
      path: the folder; missing parents are made.
      config: both decoders, layer map, router.
      vocabulary: size and special tokens.
      tokenizer_json: the text of the tokenizer, as `tokenizers` saves it.
      params: part -> tensor name -> array of the shape that `tandem_export.model.shapes` gives,
        float32 or bfloat16, of numpy or jax; or anything with `shape`, `dtype` and `__array__`,
        which is made when it is written and once more when the file is compared with it.
      provenance: how the weights were made, plain JSON.
      name: the JSON file's name.
      storage: how tensors are stored. `orbax` holds all parts in one folder and shares none.
      overwrite: allow `name` to exist. With `tandem.json` the whole folder is replaced, and so are
        the checkpoints that share its files; a folder that holds anything else is refused.
      chat_template: a jinja template that makes a prompt of messages, as Hugging Face has them.

    Raises:
      CheckpointError: the arguments do not agree, something is in the way, or what was read back
        differs. What was at `path` is then still there.
    """
    folder, arrays = Path(path).resolve(), _arrays(params)
    _check_options(name, storage)
    with naming("tokenizer_json"):
        check_tokenizer(tokenizer_json, vocabulary)
    check_vocabulary(vocabulary, config)
    with naming("params"):
        check_params(config, {part: specs(tensors) for part, tensors in arrays.items()})
    require_free(folder, name, overwrite=overwrite)
    shared = {} if name == DOCUMENT_NAME else shared_entries(folder, name)
    if shared:
        check_shared(
            folder,
            config=config,
            vocabulary=vocabulary,
            tokenizer_json=tokenizer_json,
            chat_template=chat_template,
            primary=arrays["primary"],
        )
    texts = {"tokenizer": tokenizer_json, "chat_template": chat_template}
    with staged(folder) as stage:
        if shared:
            link_tree(folder, stage)
        entries = _write_files(stage, name, storage, arrays, texts, set(shared))
        document = Document(
            config=config,
            vocabulary=vocabulary,
            provenance=dict(provenance),
            files=shared | entries,
            dtype=overall_dtype(arrays),
        )
        _write_text(stage / name, render(document))
        checkpoint = _read_back(stage / name, arrays)
        require_free(folder, name, overwrite=overwrite)  # again: writing takes minutes
        return checkpoint


def _arrays(params: Params) -> dict[str, dict[str, HasShape]]:
    """Returns the tensors; lazy ones know shape and dtype, and are read when they are written."""
    return {
        part: {
            name: leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
            for name, leaf in tensors.items()
        }
        for part, tensors in params.items()
    }


def _check_options(name: str, storage: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*\.json", name):
        rule = "a file name that ends in `.json`: letters, digits, `.`, `_`, `-`"
        raise CheckpointError(f"`name` must be {rule}. Got: {name!r}")
    if storage not in STORAGES:
        raise CheckpointError(f"`storage` must be one of {STORAGES}. Got: {storage!r}")
    if storage == "orbax" and name != DOCUMENT_NAME:
        raise CheckpointError(
            f"`storage='orbax'` shares no files, so `name` must be {DOCUMENT_NAME!r}. Got: {name!r}"
        )


def _file_name(name: str, part: str) -> str:
    prefix = "" if name == DOCUMENT_NAME else name.removesuffix("json")
    return f"{prefix}{part}.safetensors"


def _write_files(
    stage: Path,
    name: str,
    storage: str,
    arrays: dict[str, dict[str, HasShape]],
    texts: dict[str, str | None],
    shared: set[str],
) -> dict[str, FileEntry]:
    """Writes all files but the JSON and the shared ones; returns their entries."""
    paths = {}
    if storage == "orbax":
        paths["orbax"] = stage / ORBAX_NAME
        write_orbax(paths["orbax"], arrays)
    else:
        paths = _write_parts(stage, name, arrays, shared)
    for label, text in texts.items():
        if label not in shared and text is not None:
            paths[label] = stage / TEXT_NAMES[label]
            _write_text(paths[label], text)
    return {label: describe(path) for label, path in paths.items()}


def _write_parts(
    stage: Path, name: str, arrays: dict[str, dict[str, HasShape]], shared: set[str]
) -> dict[str, Path]:
    for part in ("drafter", "router"):  # Also those of an older checkpoint of this name.
        (stage / _file_name(name, part)).unlink(missing_ok=True)
    paths = {part: stage / _file_name(name, part) for part in arrays if part not in shared}
    for part, path in paths.items():
        write_part(path, arrays[part])
    return paths


def _write_text(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(text.encode("utf-8"))


def _read_back(file: Path, arrays: dict[str, dict[str, HasShape]]) -> Checkpoint:
    checkpoint = read_checkpoint(file)
    for part, tensors in arrays.items():
        with naming(f"{file.name}, read back: {part}"):
            check_same(tensors, checkpoint.params[part])
    return checkpoint
