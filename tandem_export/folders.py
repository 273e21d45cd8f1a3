"""Putting a finished folder in the place of an old one."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path


def replace_folder(new: Path, path: Path) -> None:
    """Moves the folder `new` to `path`; what stood there is removed only once `new` is in place.

    Both must be on one file system. If the move fails, the old folder is put back.

    Raises:
      OSError: a folder cannot be moved.
    """
    if not path.exists():
        new.rename(path)
        return
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old)
