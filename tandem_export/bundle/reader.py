"""Opens a bundle: everything is checked before anything is used."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

from tandem_export.bundle import layout
from tandem_export.bundle.bundle import Bundle
from tandem_export.bundle.manifest import Manifest
from tandem_export.bundle.parse import parse_manifest
from tandem_export.bundle.signature import PublicKey, check_signature, read_key
from tandem_export.bundle.weights import check_parameters, locate_weights
from tandem_export.errors import BundleError, ConfigError
from tandem_export.storage import read_bytes

# 60 graphs over a pair with 1,500 tensors need about 6 MB.
MANIFEST_LIMIT = 32 * 2**20


def open_bundle(
    path: str | Path,
    *,
    verify_hashes: bool = True,
    allow_expired: bool = False,
    today: date | None = None,
    verify_key: str | Path | None = None,
) -> Bundle:
    """Opens the bundle in the folder `path`.

    Args:
      path: the bundle's folder, or a link to it.
      verify_hashes: read every file once and compare its sha256; without, only sizes are compared.
      allow_expired: open it although a part's `not_after` has passed.
      today: the date that `not_after` is compared with; the current UTC date by default.
      verify_key: the minisign public key of whoever must have signed the bundle: its file, or the
        text in it. None asks for no signature.

    Raises:
      BundleError: no bundle, damaged, of another format version, expired, not signed by
        `verify_key`, holding a file that it does not list, code, a link or a device, or with graphs
        that take other weights than it has; the text names the file and what to do.
      ConfigError: `verify_key` is no key, or is given without `verify_hashes`.
    """
    folder = Path(path).resolve()
    key = None if verify_key is None else read_key(verify_key)
    if key is not None and not verify_hashes:
        rule = "`verify_key` needs `verify_hashes`: what is signed is the list of hashes"
        raise ConfigError(f"{rule}. Got: verify_hashes=False")
    manifest = _read(folder, key)
    _check_listing(folder, manifest)
    _check_expiry(manifest, today or datetime.now(UTC).date(), allow_expired)
    for name, record in sorted(manifest.files.items()):
        _check_file(folder, name, record.bytes, record.sha256 if verify_hashes else None)
    check_parameters(manifest, locate_weights(folder / layout.WEIGHTS))
    return Bundle(path=folder, manifest=manifest)


def read_manifest(path: str | Path, *, verify_key: str | Path | None = None) -> Manifest:
    """Reads the manifest of the bundle at `path`, and looks at no other file that it lists.

    Raises:
      BundleError: no bundle, a manifest that is damaged or not signed by `verify_key`.
      ConfigError: `verify_key` is no key.
    """
    return _read(Path(path).resolve(), None if verify_key is None else read_key(verify_key))


def _read(folder: Path, key: PublicKey | None) -> Manifest:
    for name in (layout.MANIFEST, layout.DIGEST):
        if (folder / name).is_symlink() or not (folder / name).is_file():
            raise BundleError(f"{folder} is not a bundle: it has no file {name!r}.")
    data = read_bytes(folder / layout.MANIFEST, limit=MANIFEST_LIMIT, error=BundleError)
    line = read_bytes(folder / layout.DIGEST, limit=MANIFEST_LIMIT, error=BundleError)
    if line != layout.digest_line(data).encode():
        rule = f"{layout.MANIFEST} must have the sha256 that {layout.DIGEST} states"
        raise BundleError(f"{rule}; one of the two is damaged or edited. Copy the bundle again.")
    if key is not None:
        check_signature(folder, data, key)
    return parse_manifest(data)


def _check_listing(folder: Path, manifest: Manifest) -> None:
    listed = {layout.check_path(name) for name in manifest.files}
    needed = {layout.WEIGHTS, layout.TOKENIZER}
    needed |= {name for graph in manifest.graphs for name in graph.files.values()}
    if needed - listed:
        name = min(needed - listed)
        raise BundleError(f"{name!r} is used but not listed in `files` of {layout.MANIFEST}")
    present = _present(folder) - {layout.MANIFEST, layout.DIGEST, layout.SIGNATURE}
    if listed - present:
        raise BundleError(f"file {min(listed - present)!r} is missing. Copy the bundle again.")
    if present - listed:
        name = min(present - listed)
        raise BundleError(f"file {name!r} is not listed in {layout.MANIFEST}. Remove it.")


def _present(folder: Path) -> set[str]:
    """Returns relative paths of all files; refuses links, code, and what is no file or folder."""
    files_present: set[str] = set()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            entry = Path(parent, name)
            relative = entry.relative_to(folder).as_posix()
            if entry.is_symlink():
                raise BundleError(f"a bundle holds no links. Got: {relative!r}. Remove it.")
            if name in layout.SYSTEM_FILES or name.startswith("._"):
                raise BundleError(
                    f"{relative!r} is a file that macOS or Windows puts into folders, and no part "
                    "of the bundle. Remove it."
                )
            if name in files:
                files_present.add(layout.check_path(relative))
                if not entry.is_file():  # A FIFO would be waited for.
                    rule = "a bundle holds regular files only"
                    raise BundleError(f"{rule}. Got: {relative!r}. Remove it.")
    return files_present


def _check_expiry(manifest: Manifest, today: date, allow_expired: bool) -> None:
    parts = manifest.expired(today)
    if not parts or allow_expired:
        return
    ends = ", ".join(f"`{part}` on {manifest.not_after[part]}" for part in parts)
    built = f"jaxlib {manifest.versions.get('jaxlib', 'unknown')}"
    raise BundleError(
        f"this bundle has expired: {ends}; today is {today}. Rebuild it from its checkpoint, "
        f"or pass `allow_expired` if {built}, which built it, is what runs it."
    )


def _check_file(folder: Path, name: str, size: int, sha256: str | None) -> None:
    path = folder / name
    if path.stat().st_size != size:
        got = path.stat().st_size
        raise BundleError(f"file {name!r} must have {size} bytes. Got: {got}. Copy it again.")
    if sha256 is not None and (got := layout.hash_file(path)) != sha256:
        raise BundleError(
            f"file {name!r} is damaged: its sha256 must be {sha256}. Got: {got}. "
            "Copy the bundle again or rebuild it."
        )
