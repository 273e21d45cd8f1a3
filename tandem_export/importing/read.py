"""Chooses the reader of what lies at a path."""

from __future__ import annotations

import re
from pathlib import Path

from tandem_export.errors import CheckpointError
from tandem_export.importing.foreign import READERS
from tandem_export.importing.native import read_own
from tandem_export.importing.source import Source

# An owner and a model, as the Hub allows them.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def read_source(path: str, part: str) -> Source:
    """Reads one decoder: what lies at `path` says which reader it takes.

    Raises:
      CheckpointError: none of the formats that can be read, or as that reader says.
    """
    file = Path(path)
    if file.suffix == ".gguf":
        from tandem_export.importing.gguf import read_gguf

        return read_gguf(file)
    if (file / "config.json").is_file():
        from tandem_export.importing.hugging_face import read_folder

        return read_folder(file)
    if path.startswith("demo:") or file.suffix == ".json" or (file / "tandem.json").is_file():
        return read_own(path, part)
    raise CheckpointError(_advice(file, path, part))


def _advice(file: Path, path: str, part: str) -> str:
    """Returns what to do with a path that no reader takes."""
    if file.suffix in READERS:
        return (
            f"`{file.name}` holds tensors without a configuration: pass `config`, and `map_file` "
            "if they have names of their own; docs/how-to/own-weights.md shows both. Got: neither"
        )
    if not file.exists() and _HUB_NAME.fullmatch(path):
        folder = path.partition("/")[2]
        return (
            f"the {part} must lie on this machine: models of the Hugging Face Hub are not "
            f"downloaded here. Run `hf download {path} --local-dir {folder}` (of `pip install "
            f"huggingface_hub`) and pass `{folder}`. Got: {path!r}, where there is no folder"
        )
    return (
        f"the {part} must be a Hugging Face folder (with `config.json`), a `.gguf` file, or a "
        f"checkpoint (with `tandem.json`). Got: {path!r}"
    )
