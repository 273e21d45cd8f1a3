"""Verifies who signed a manifest: signatures of minisign, https://jedisct1.github.io/minisign/.

`minisign -S -s KEY -m DIR/manifest.json` writes the signature beside the manifest. The manifest has
the hash of every other file, so it stands for all of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

from tandem_export.bundle import layout
from tandem_export.errors import BundleError, ConfigError

_KEY_ALGORITHM = b"Ed"
# Over the BLAKE2b-512 of the file, as minisign signs since 0.10; before, it was over the file.
_SIGNATURE_ALGORITHM = b"ED"
_TRUSTED = "trusted comment: "


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """An Ed25519 key; `number` is the key's name in signatures, 8 bytes."""

    number: bytes
    key: bytes


def read_key(given: str | Path) -> PublicKey:
    """Reads a minisign public key: the path of its file, or the key itself.

    Raises:
      ConfigError: it is neither.
    """
    rule = "`verify_key` must be a minisign public key: its file, or the base64 text in it"
    try:
        path = Path(given)
        text = path.read_text("utf-8").splitlines()[-1] if path.is_file() else str(given)
        raw = base64.b64decode(text.strip(), validate=True)
    except (OSError, IndexError, ValueError) as error:
        raise ConfigError(f"{rule}. Got: {str(given)!r}") from error
    if len(raw) != 42 or raw[:2] != _KEY_ALGORITHM:
        raise ConfigError(f"{rule}. Got: {str(given)!r}")
    return PublicKey(number=raw[2:10], key=raw[10:])


def check_signature(folder: Path, manifest: bytes, key: PublicKey) -> None:
    """Checks that `key` signed the manifest in `folder`, of these bytes.

    Raises:
      BundleError: there is no signature, it is another key's, or the manifest was changed after it
        was signed.
      ConfigError: the package `cryptography` is not installed.
    """
    path = folder / layout.SIGNATURE
    if path.is_symlink() or not path.is_file():
        hint = f"Ask for a signed copy, or sign it: minisign -S -m {folder / layout.MANIFEST}"
        raise BundleError(f"the bundle must be signed. Got: no file {path.name!r}. {hint}")
    signature, trusted, of_comment = _parse(path)
    number = signature[2:10]
    if number != key.number:
        rule = f"{path.name} must be signed by the key {_name(key.number)}"
        raise BundleError(f"{rule}. Got: {_name(number)}. Use the key of whoever made the bundle.")
    digest = hashlib.blake2b(manifest).digest()
    _verify(key, signature[10:], digest, f"{path.name} must be of this manifest")
    _verify(key, of_comment, signature[10:] + trusted, f"the comment in {path.name} must be signed")


def _parse(path: Path) -> tuple[bytes, bytes, bytes]:
    """Returns algorithm, key number and signature; the trusted comment; the signature of both."""
    rule = f"{path.name} must be a signature of minisign 0.10 or later, four lines"
    try:
        _, first, comment, second = path.read_bytes()[:4096].decode().splitlines()
        signature, of_comment = (base64.b64decode(line, validate=True) for line in (first, second))
    except (UnicodeDecodeError, binascii.Error, ValueError) as error:
        raise BundleError(f"{rule}. Got: {error}. Sign the bundle again.") from error
    if len(signature) != 74 or signature[:2] != _SIGNATURE_ALGORITHM or len(of_comment) != 64:
        raise BundleError(f"{rule}. Got: another kind, {signature[:2]!r}. Sign the bundle again.")
    if not comment.startswith(_TRUSTED):
        raise BundleError(f"{rule}. Got: no {_TRUSTED!r} in it. Sign the bundle again.")
    return signature, comment.removeprefix(_TRUSTED).encode(), of_comment


def _verify(key: PublicKey, signature: bytes, data: bytes, rule: str) -> None:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ModuleNotFoundError as error:
        hint = "Install it: pip install 'tandem-export[signing]'"
        raise ConfigError(f"`verify_key` needs the package 'cryptography'. {hint}") from error
    try:
        Ed25519PublicKey.from_public_bytes(key.key).verify(signature, data)
    except (InvalidSignature, ValueError) as error:
        hint = "Do not use the bundle, or have it signed again if you changed it yourself."
        raise BundleError(f"{rule}. Got: something that the key did not sign. {hint}") from error


def _name(number: bytes) -> str:
    """Returns the number as minisign prints it."""
    return number[::-1].hex().upper()
