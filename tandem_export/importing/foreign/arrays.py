"""Named arrays of a file, whatever wrote it: safetensors, torch or numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tandem_export.checkpoint import map_tensors, naming
from tandem_export.checkpoint.comparison import load_npz
from tandem_export.errors import CheckpointError
from tandem_export.importing.foreign.torch_file import read_torch
from tandem_export.importing.lazy import LazyTensor, lazy


def read_arrays(path: Path) -> dict[str, LazyTensor]:
    """Returns the tensors of a file, or of all such files in a folder, by their names.

    Args:
      path: `.safetensors`, `.npz`, or `.pt`, `.pth`, `.bin` of `torch.save`. Nothing is unpickled.

    Raises:
      CheckpointError: another kind of file, a damaged one, or one name in two files.
    """
    if not path.is_dir():
        return _read_file(path)
    files = sorted(file for file in path.iterdir() if file.suffix in READERS)
    if not files:
        rule = f"files that end in {', '.join(READERS)}"
        raise CheckpointError(f"the folder `{path.name}` must hold {rule}. Got: none")
    arrays: dict[str, LazyTensor] = {}
    for file in files:
        more = _read_file(file)
        if twice := sorted(set(more) & set(arrays)):
            raise CheckpointError(f"`{file.name}`: another file has tensor `{twice[0]}` too")
        arrays |= more
    return arrays


def _read_file(path: Path) -> dict[str, LazyTensor]:
    with naming(path.name):
        if path.suffix not in READERS:
            raise CheckpointError(f"weights must be in {', '.join(READERS)}. Got: {path.name!r}")
        return dict(READERS[path.suffix](path))


def _read_safetensors(path: Path) -> dict[str, LazyTensor]:
    return {name: lazy(array) for name, array in map_tensors(path).items()}


def _read_npz(path: Path) -> dict[str, LazyTensor]:
    return {name: lazy(array) for name, array in load_npz(path).items()}


READERS: Mapping[str, Callable[[Path], Mapping[str, LazyTensor]]] = {
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    ".pt": read_torch,
    ".pth": read_torch,
    ".bin": read_torch,
}
