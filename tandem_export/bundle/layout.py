"""Where things lie in a bundle, which paths are allowed, and how a file is hashed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tandem_export import storage
from tandem_export.errors import BundleError

MANIFEST = "manifest.json"
# The manifest's own hash, in the format of `sha256sum`. It cannot stand in the file it covers.
DIGEST = "manifest.sha256"
# minisign's signature of the manifest, under the name that minisign gives it.
SIGNATURE = "manifest.json.minisig"
WEIGHTS = "weights.safetensors"
TOKENIZER = "tokenizer.json"
CHAT_TEMPLATE = "chat_template.jinja"
# Files that running or loading could execute.
_CODE = (".py", ".pyc", ".pkl", ".pickle")
# What file managers leave in folders that somebody looked at.
SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini", ".directory")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def graph_file(kind: str, name: str) -> str:
    """Returns the path of graph `name` in the form `kind`.

    A form is `onnx`, or `jax_export` or `stablehlo` with a platform, such as `stablehlo/cpu`. ONNX
    files stand beside the weights: engines refuse external data outside a model's own folder.
    """
    if kind == "onnx":
        return f"{name}.onnx"
    return f"{kind}/{name}{'.mlirbc' if kind.startswith('stablehlo/') else '.bin'}"


def check_path(name: str) -> str:
    """Returns `name` if it is a relative path that stays inside the bundle and holds no code.

    Raises:
      BundleError: it is absolute, climbs with `..`, has odd characters, or ends in `.py`, `.pyc`,
        `.pkl` or `.pickle`.
    """
    if not all(_NAME.fullmatch(piece) for piece in name.split("/")):
        rule = "a relative path of plain names, such as 'stablehlo/cpu/round_b1_g3.mlirbc'"
        raise BundleError(f"a path in a bundle must be {rule}. Got: {name!r}")
    if name.lower().endswith(_CODE):
        rule = f"a bundle holds no code, nothing that ends in {', '.join(_CODE)}"
        raise BundleError(f"{rule}. Got: {name!r}. Remove the file, or rebuild the bundle.")
    return name


def digest_line(data: bytes) -> str:
    """Returns the one line of `manifest.sha256` for the manifest bytes `data`."""
    return f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n"


def hash_file(path: Path) -> str:
    """Returns the sha256 of a file, hex, read in chunks.

    Raises:
      BundleError: not a regular file.
    """
    return storage.hash_file(path, error=BundleError)
