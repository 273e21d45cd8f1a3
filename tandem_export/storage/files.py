"""Opens and reads regular files, and never more of one than a limit."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from tandem_export.errors import TandemError

# The largest tokenizer.json in use, of 262,144 tokens with their merges, has 33 MB.
TEXT_LIMIT = 256 * 2**20
_POINTER = b"version https://git-lfs.github.com/spec/"


@contextmanager
def open_regular(path: Path, *, error: type[TandemError]) -> Iterator[BufferedReader]:
    """Opens a regular file for reading; a link that leads to one is followed.

    Raises:
      TandemError: of the class `error`: there is no such file, it cannot be opened or read, or it
        is a folder, a FIFO, a socket or a device. Those are never waited for.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits for somebody who writes to it.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as problem:
        raise error(f"`{path.name}`: the file cannot be read. Got: {problem.strerror}") from problem
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        got = "a folder, a FIFO, a socket or a device"
        raise error(f"`{path.name}`: must be a regular file. Got: {got}")
    with os.fdopen(handle, "rb") as file:
        yield file


def read_bytes(path: Path, *, limit: int, error: type[TandemError]) -> bytes:
    """Returns the bytes of a regular file of at most `limit` bytes.

    Raises:
      TandemError: of the class `error`: as `open_regular`; the file is larger, or it is a pointer
        that Git LFS left in the place of the file.
    """
    with open_regular(path, error=error) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise error(f"`{path.name}`: must have at most {limit} bytes. Got: more")
    refuse_pointer(data, path.name, error=error)
    return data


def read_text(path: Path, *, error: type[TandemError], limit: int = TEXT_LIMIT) -> str:
    """Returns the text of a UTF-8 file, newlines as they are (hashes are of bytes).

    Raises:
      TandemError: of the class `error`: as `read_bytes`, or it is not UTF-8.
    """
    try:
        return read_bytes(path, limit=limit, error=error).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise error(f"`{path.name}`: not UTF-8 text: {problem}") from problem


def refuse_pointer(head: bytes, name: str, *, error: type[TandemError]) -> None:
    """Refuses a file that begins as the pointers of Git LFS do.

    Raises:
      TandemError: of the class `error`.
    """
    if head.startswith(_POINTER):
        hint = "Run `git lfs pull` in its folder, or download the file again"
        raise error(f"`{name}`: must be the file itself. Got: a pointer of Git LFS. {hint}")


def hash_file(path: Path, *, error: type[TandemError]) -> str:
    """Returns the sha256 of a regular file, hex, read in chunks.

    Raises:
      TandemError: of the class `error`, as `open_regular`.
    """
    with open_regular(path, error=error) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
