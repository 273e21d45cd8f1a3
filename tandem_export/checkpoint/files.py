"""Files of a checkpoint folder: confined to it, bound by size and sha256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tandem_export import storage
from tandem_export.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file (or, for Orbax, one folder) of a checkpoint.

    Attributes:
      path: its name inside the checkpoint folder.
      sha256: hex digest of its bytes; of a folder, of its listing (see `hash_folder`).
      bytes: its size, of a folder the sum over its files.
    """

    path: str
    sha256: str
    bytes: int


def hash_file(path: Path) -> str:
    """Returns the sha256 of a file's bytes, in hex.

    Raises:
      CheckpointError: not a regular file.
    """
    return storage.hash_file(path, error=CheckpointError)


def _members(folder: Path) -> list[tuple[str, Path]]:
    members = ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*"))
    return sorted((name, path) for name, path in members if path.is_file())


def hash_folder(folder: Path) -> str:
    """Returns the sha256 of the listing of its files, in hex.

    One line `<sha256>  <relative path>` a file, sorted by path, as `sha256sum` prints them.
    """
    lines = [f"{hash_file(path)}  {name}\n" for name, path in _members(folder)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(member.stat().st_size for _, member in _members(path))
    return path.stat().st_size


def _digest(path: Path) -> str:
    return hash_folder(path) if path.is_dir() else hash_file(path)


def describe(path: Path) -> FileEntry:
    """Returns the entry for a file or folder as it lies on disk."""
    return FileEntry(path=path.name, sha256=_digest(path), bytes=_size(path))


def _confine(folder: Path, entry: FileEntry) -> Path:
    path = folder / entry.path
    links = [path, *path.rglob("*")] if path.is_dir() else [path]
    for link in links:
        if not link.resolve().is_relative_to(folder.resolve()):
            raise CheckpointError(
                f"`{entry.path}` must stay inside the checkpoint folder. "
                f"Got: `{link.relative_to(folder)}`, which leads to {str(link.resolve())!r}"
            )
    return path


def verified(folder: Path, entry: FileEntry, *, is_folder: bool = False) -> Path:
    """Returns the path of an entry, once it is known to be there and to be what the entry says.

    Raises:
      CheckpointError: it leads out of the folder, is missing, or has another size or sha256.
    """
    path = _confine(folder, entry)
    if not (path.is_dir() if is_folder else path.is_file()):
        kind = "folder" if is_folder else "file"
        got = "something else of that name" if path.exists() else "nothing of that name"
        raise CheckpointError(
            f"`{entry.path}` is missing: expected a {kind} in {str(folder)!r}. Got: {got}"
        )
    checks = (("bytes", entry.bytes, _size), ("sha256", entry.sha256, _digest))
    for name, expected, measure in checks:
        got = measure(path)
        if got != expected:
            raise CheckpointError(
                f"`{entry.path}` is not the file that the checkpoint was written with: "
                f"expected {name} {expected}. Got: {got}. Copy the checkpoint again"
            )
    return path
