"""Links in a folder that somebody else made."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tandem_export.errors import TandemError


def refuse_links_outside(
    folder: Path, suffixes: Collection[str], *, error: type[TandemError]
) -> None:
    """Refuses a folder in which a file with one of `suffixes` is a link that leads out of it.

    In the cache of the Hugging Face Hub, `snapshots/REVISION` holds links to `blobs` of the same
    model; those may be followed.

    Raises:
      TandemError: of the class `error`; the text names the link.
    """
    allowed = [folder.resolve()]
    if allowed[0].parent.name == "snapshots":
        allowed.append(allowed[0].parent.parent / "blobs")
    for path in sorted(folder.iterdir()):
        if path.suffix not in suffixes or not path.is_symlink():
            continue
        target = path.resolve()
        if not any(target.is_relative_to(place) for place in allowed):
            raise error(
                f"`{path.name}`: a link must stay in its folder. Copy the file in its place. "
                f"Got: a link to {str(path.readlink())!r}"
            )
