"""Puts a folder in its place only when it is complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tandem_export.checkpoint.document import DOCUMENT_NAME, read_document
from tandem_export.errors import CheckpointError
from tandem_export.storage import replace_folder, staging


def require_free(folder: Path, name: str, *, overwrite: bool) -> None:
    """Refuses to write over anything that the caller did not mean.

    Raises:
      CheckpointError: `folder` is a file; `name` exists in it and `overwrite` is not set; or the
        whole folder would be replaced and holds something that is no checkpoint's.
    """
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(
            f"`path` must be a folder or not exist yet. Got: file {str(folder)!r}"
        )
    taken = (folder / name).exists()
    if taken and not overwrite:
        raise CheckpointError(
            f"{str(folder / name)!r} exists: pass `overwrite=True` to replace it, or another `path`"
        )
    if name == DOCUMENT_NAME and folder.is_dir():
        foreign = sorted({path.name for path in folder.iterdir()} - _owned(folder))
        if foreign:
            raise CheckpointError(
                f"{str(folder)!r} would be replaced as a whole, and holds {foreign[0]!r}, which is "
                f"not part of a checkpoint that can be read: move it, or pass another `path`"
            )


def _owned(folder: Path) -> set[str]:
    """Returns the names in `folder` that belong to the checkpoints in it."""
    names: set[str] = set()
    for file in folder.glob("*.json"):
        try:
            document = read_document(file)
        except CheckpointError:
            continue  # Not a checkpoint (a tokenizer, say): what nothing names stays foreign.
        names |= {file.name, *(entry.path for entry in document.files.values())}
    return names


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yields a new folder; it takes the place of `folder` when the block ends without an error."""
    with staging(folder) as stage:
        yield stage
        replace_folder(stage, folder)
