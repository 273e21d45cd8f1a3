"""Folders that are built beside their place and take it in one step."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
# Systems and disks that cannot exchange two names, or cannot lock a folder, say one of these.
_CANNOT = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF, errno.ENOLCK, errno.EXDEV}


@contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Yields a new folder beside `path`, locked while this process builds in it.

    What is left of the folder when the block ends is removed. So are, at the beginning, the folders
    of builders of `path` that were killed: the system gives up a dead process's lock, and only what
    can be locked is removed. On a disk without locks nothing can be proved, and all of them stay.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(path)
    folder, lock = _new_folder(path)
    try:
        yield folder
    finally:
        _remove(folder)
        _unlock(lock)


def replace_folder(new: Path, path: Path) -> None:
    """Moves the folder `new` to `path`; what stood there is removed only once `new` is in place.

    Both must be on one file system. Linux exchanges the two names in one step: whenever the process
    is killed, a whole folder stands at `path`. Elsewhere, and on disks that cannot do that, `path`
    is missing between two renames; the next build at `path` then puts the old folder back.

    Raises:
      OSError: a folder cannot be moved; the old one is in its place.
    """
    if not path.exists():
        new.rename(path)
        return
    if _exchange(new, path):
        _remove(new)
        return
    _swap(new, path)


def _swap(new: Path, path: Path) -> None:
    """Replaces a folder by two renames; the old one is locked, so that nobody removes it."""
    old, lock = _sibling(path, "old"), _lock(path, wait=True)
    try:
        path.rename(old)
        new.rename(path)
        _remove(old)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        _unlock(lock)


def link_tree(source: Path, target: Path) -> None:
    """Fills `target` with the files of `source`, as hard links where the disk can.

    Unlink a file of `target` before writing it anew, or `source` changes too.
    """
    shutil.copytree(source, target, copy_function=_link, symlinks=True, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _sibling(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.{kind}")


def _new_folder(path: Path) -> tuple[Path, int | None]:
    """Makes a folder with its lock; another builder may remove it between the two, as abandoned."""
    while True:
        folder = _sibling(path, "new")
        folder.mkdir()
        try:
            lock = _lock(folder)
        except (BlockingIOError, FileNotFoundError):
            continue
        if folder.exists():
            return folder, lock
        _unlock(lock)


def _lock(folder: Path, *, wait: bool = False) -> int | None:
    """Returns an exclusive lock on `folder`, for `_unlock`; None where there are none.

    Raises:
      BlockingIOError: another process holds it, and `wait` is not set.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        os.close(lock)
        if error.errno in _CANNOT:
            return None
        raise
    return lock


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _clear_abandoned(path: Path) -> None:
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{32}}\.(new|old)")
    for folder in path.parent.iterdir():
        if name.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            # Its builder lives, or has just removed it, or is another user.
            with suppress(BlockingIOError, FileNotFoundError, PermissionError):
                _clear(folder, path)


def _clear(folder: Path, path: Path) -> None:
    lock = _lock(folder)
    if lock is None:
        return
    try:
        if folder.suffix == ".old" and not path.exists():
            folder.rename(path)
        else:
            _remove(folder)
    finally:
        _unlock(lock)


def _remove(folder: Path) -> None:
    """Removes `folder` if it exists; another process may be doing the same."""
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two names in one step, or returns False where that cannot be done."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if sys.platform != "linux" or call is None:
        return False
    paths = os.fsencode(one), os.fsencode(other)
    if call(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(other))
