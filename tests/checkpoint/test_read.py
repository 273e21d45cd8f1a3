"""One thing is wrong with a checkpoint, and the error says which."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tandem_export.checkpoint import read_checkpoint
from tandem_export.checkpoint.files import hash_file
from tandem_export.errors import CheckpointError


def edit(folder: Path, path: str, value: Any) -> None:
    """Sets a value of `tandem.json`; `...` deletes the key."""
    file = folder / "tandem.json"
    document = json.loads(file.read_text())
    *steps, last = path.split(".")
    place = document
    for step in steps:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    file.write_text(json.dumps(document))


def rehash(folder: Path, label: str, name: str) -> None:
    """Makes the entry of a file fit the file, so that only its contents are wrong."""
    entry = {"path": name, "sha256": hash_file(folder / name)}
    edit(folder, f"files.{label}", entry | {"bytes": (folder / name).stat().st_size})


def retensor(folder: Path, part: str, name: str, change: Any) -> None:
    """Replaces (or with None deletes) one tensor of a part."""
    file = folder / f"{part}.safetensors"
    tensors = {key: array.copy() for key, array in load_file(file).items()}
    value = change(tensors.pop(name, None))
    save_file(tensors if value is None else tensors | {name: value}, file)
    rehash(folder, part, file.name)


def rewrite(folder: Path, name: str, label: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    rehash(folder, label, name)


def truncate(folder: Path, by: int) -> None:
    data = (folder / "primary.safetensors").read_bytes()
    rewrite(folder, "primary.safetensors", "primary", data[:-by])


def flip(folder: Path) -> None:
    file = folder / "drafter.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))


def escape_by_link(folder: Path) -> None:
    outside = folder.parent / "outside.safetensors"
    (folder / "primary.safetensors").rename(outside)
    (folder / "primary.safetensors").symlink_to(outside)


EMBEDDING = "embedding.weight"
WRONG: dict[str, tuple[Any, list[str]]] = {
    # tandem.json as a document
    "long_path": (
        lambda f: edit(f, "files.primary.path", "a" * 300),
        ["`files.primary.path` must be the name of a file in the folder", "at most 255"],
    ),
    "not_json": (lambda f: (f / "tandem.json").write_text("{oops"), ["not a JSON", "{oops"]),
    "nan": (lambda f: edit(f, "config.router.tau", float("nan")), ["not a JSON", "NaN"]),
    "not_utf8": (lambda f: (f / "tandem.json").write_bytes(b"\xff\xfe"), ["not UTF-8"]),
    "not_an_object": (lambda f: (f / "tandem.json").write_text("[]"), ["JSON type object", "[]"]),
    "newer": (lambda f: edit(f, "schema_version", 2), ["`schema_version` 2", "reads [1]"]),
    "no_version": (lambda f: edit(f, "schema_version", ...), ["missing key 'schema_version'"]),
    "true_version": (lambda f: edit(f, "schema_version", True), ["`schema_version` True"]),
    "unknown_key": (lambda f: edit(f, "extra", 1), ["unknown key 'extra'", "known keys", "files"]),
    "missing_key": (
        lambda f: edit(f, "config.primary.rope.theta", ...),
        ["missing key 'theta' in `config.primary.rope`", "local_theta"],
    ),
    "type": (lambda f: edit(f, "config.drafter.width", "8"), ["`config.drafter.width`", "'8'"]),
    "float_size": (lambda f: edit(f, "config.drafter.width", 8.0), ["integer", "Got: 8.0"]),
    "list_item": (lambda f: edit(f, "vocabulary.end_tokens", [0, "x"]), ["end_tokens[1]", "'x'"]),
    "enum": (lambda f: edit(f, "config.kind", "solo"), ["`config.kind` must be one of", "'solo'"]),
    "sha_form": (lambda f: edit(f, "files.drafter.sha256", "12"), ["64 lower-case hex", "'12'"]),
    "both_storages": (
        lambda f: edit(f, "files.orbax", {"path": "x", "sha256": "0" * 64, "bytes": 1}),
        ["unknown key 'drafter' in `files`", "orbax"],
    ),
    "no_drafter": (lambda f: edit(f, "files.drafter", ...), ["missing key 'drafter' in `files`"]),
    # what the config says
    "layer_map_range": (lambda f: edit(f, "config.layer_map", [3]), ["`layer_map`", "(3,)"]),
    "layer_map_length": (lambda f: edit(f, "config.layer_map", []), ["`layer_map`", "1 entries"]),
    "config_rule": (lambda f: edit(f, "config.router.tau", 2), ["`router.tau`", "Got: 2"]),
    "router_file_only": (lambda f: edit(f, "config.router", None), ["Got: `files.router` alone"]),
    "router_config_only": (lambda f: edit(f, "files.router", ...), ["Got: `config.router` alone"]),
    "end_token": (lambda f: edit(f, "vocabulary.end_tokens", [16]), ["0 .. 15", "Got: 16"]),
    "begin_token": (lambda f: edit(f, "vocabulary.begin_token", 99), ["begin_token", "Got: 99"]),
    "vocabulary_size": (lambda f: edit(f, "vocabulary.size", 17), ["at most", "= 16", "Got: 17"]),
    # files
    "absolute": (lambda f: edit(f, "files.primary.path", "/etc/hosts"), ["files.primary.path"]),
    "parent": (lambda f: edit(f, "files.primary.path", "../x"), ["name of a file", "'../x'"]),
    "link": (escape_by_link, ["`primary.safetensors` must stay inside", "outside"]),
    "missing_file": (
        lambda f: (f / "router.safetensors").unlink(),
        ["`router.safetensors` is mis"],
    ),
    "folder_for_file": (
        lambda f: edit(f, "files.drafter.path", "sub"),
        ["`sub` is missing", "something else"],
    ),
    "bytes": (lambda f: edit(f, "files.tokenizer.bytes", 1), ["`tokenizer.json`", "bytes 1"]),
    "hash": (flip, ["`drafter.safetensors`", "sha256", "Got"]),
    # tensors
    "truncated": (lambda f: truncate(f, 5), ["`primary.safetensors`: not a whole safetensors"]),
    "empty": (lambda f: rewrite(f, "router.safetensors", "router", b""), ["`router.safetensors`"]),
    "pickle": (
        lambda f: rewrite(f, "router.safetensors", "router", b"\x80\x04K\x01." * 9),
        ["`router.safetensors`: not a whole safetensors"],
    ),
    "shape": (
        lambda f: retensor(f, "primary", EMBEDDING, lambda a: a[:-1].copy()),
        ["`primary.safetensors`: tensor `embedding.weight`", "[16, 8]", "Got: [15, 8]"],
    ),
    "rank": (
        lambda f: retensor(f, "drafter", EMBEDDING, lambda a: a.reshape(-1)),
        ["`drafter.safetensors`: tensor `embedding.weight`", "Got: [128]"],
    ),
    "dtype": (
        lambda f: retensor(f, "drafter", "projection.0.weight", lambda a: a.astype(np.float16)),
        ["tensor `projection.0.weight`", "float32", "bfloat16", "Got: float16"],
    ),
    "missing_tensor": (
        lambda f: retensor(f, "drafter", "projection.0.weight", lambda a: None),
        ["`drafter.safetensors`: ", "Missing: `projection.0.weight`. Unexpected: none"],
    ),
    "unexpected_tensor": (
        lambda f: retensor(f, "router", "other.weight", lambda a: np.zeros(1, np.float32)),
        ["`router.safetensors`: ", "Unexpected: `other.weight`", "4 tensors", "Got: 5"],
    ),
    # the tokenizer
    "tokenizer": (
        lambda f: rewrite(f, "tokenizer.json", "tokenizer", b"{}"),
        ["`tokenizer.json`: not a tokenizer"],
    ),
    "tokenizer_utf8": (
        lambda f: rewrite(f, "tokenizer.json", "tokenizer", b"\xff"),
        ["`tokenizer.json`: not UTF-8"],
    ),
}


@pytest.mark.parametrize(("corrupt", "fragments"), WRONG.values(), ids=WRONG)
def test_one_wrong_thing_is_named(folder: Path, corrupt, fragments):
    (folder / "sub").mkdir()
    corrupt(folder)
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(folder)
    for fragment in fragments:
        assert fragment in str(raised.value)


def test_independent_drafter_has_no_projections(tmp_path: Path, folder: Path):
    edit(folder, "config.kind", "independent")
    edit(folder, "config.layer_map", [])
    with pytest.raises(CheckpointError, match=r"Unexpected: `projection\.0\.weight`"):
        read_checkpoint(folder)


def test_tokenizer_of_another_size(folder: Path, tokenizer):
    rewrite(folder, "tokenizer.json", "tokenizer", tokenizer(14).encode())
    with pytest.raises(CheckpointError, match=r"`tokenizer\.json`: .* = 15\. Got: 13"):
        read_checkpoint(folder)


@pytest.mark.parametrize("path", ["nowhere", "pair/other.json", "."])
def test_no_checkpoint_there(tmp_path: Path, folder: Path, path):
    with pytest.raises(CheckpointError, match=r"there is no checkpoint at .* expected a folder"):
        read_checkpoint(tmp_path / path)


def test_begin_token_may_be_left_out(folder: Path):
    edit(folder, "vocabulary.begin_token", ...)
    assert read_checkpoint(folder).vocabulary.begin_token is None


def test_unknown_demo():
    with pytest.raises(CheckpointError, match=r"demo:stdlib-mini, .*Got: 'demo:nope'"):
        read_checkpoint("demo:nope")


def test_import_loads_no_engine():
    code = (
        "import sys, tandem_export.checkpoint; print({'jax', 'flax', 'orbax'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
