"""Tensors of a checkpoint: safetensors files mapped without a copy, checked against the config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from tandem_export import storage
from tandem_export.bundle import forget_pages, write_weights
from tandem_export.config import TandemConfig
from tandem_export.errors import CheckpointError
from tandem_export.storage import HasShape, locate_tensors

DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
# A checkpoint holds no float16; `map_tensors` reads other sources too.
MAPPED = (*DTYPES, "float16", "int32")
_COMPARED = 1 << 24  # bytes at a time
_SHOWN = 5  # names in an error


class Spec(NamedTuple):
    """What is known of a tensor before its values are read."""

    shape: tuple[int, ...]
    dtype: str


def specs(arrays: Mapping[str, HasShape]) -> dict[str, Spec]:
    """Returns the shapes and dtypes, by name, of anything that has both."""
    return {name: Spec(tuple(leaf.shape), str(leaf.dtype)) for name, leaf in arrays.items()}


def overall_dtype(params: Mapping[str, Mapping[str, HasShape]]) -> str:
    """Returns the one dtype of all weights, or `mixed`; ids do not count."""
    names = {str(leaf.dtype) for tensors in params.values() for leaf in tensors.values()}
    names -= {"int32"}
    return names.pop() if len(names) == 1 else "mixed"


def check_tensors(config: TandemConfig, part: str, tensors: Mapping[str, Spec]) -> None:
    """Checks a part's tensors against the names and shapes that its config asks for.

    Raises:
      CheckpointError: a tensor is missing, unexpected, of another shape or of an unknown dtype.
    """
    from tandem_export.model import abstract  # Imports jax.

    expected = abstract(config, part)
    _check_names(set(expected), set(tensors), part)
    for name, leaf in expected.items():
        if tensors[name].shape != leaf.shape:
            raise CheckpointError(
                f"tensor `{name}` must have shape {list(leaf.shape)} by the config of the {part}. "
                f"Got: {list(tensors[name].shape)}"
            )
        allowed = list(DTYPES) if leaf.dtype == np.float32 else [str(leaf.dtype)]
        if tensors[name].dtype not in allowed:
            raise CheckpointError(
                f"tensor `{name}` must be one of {allowed}. Got: {tensors[name].dtype}"
            )


def check_params(config: TandemConfig, parts: Mapping[str, Mapping[str, Spec]]) -> None:
    """Checks the tensors of all parts at once.

    Raises:
      CheckpointError: a part is missing or unexpected, or as `check_tensors`.
    """
    from tandem_export.model import PARTS, has_part  # Imports jax.

    expected = {part for part in PARTS if has_part(config, part)}
    if set(parts) != expected:
        raise CheckpointError(
            f"the config asks for the parts {sorted(expected)}. Got: {sorted(parts)}"
        )
    for part, tensors in parts.items():
        check_tensors(config, part, tensors)


def _check_names(expected: set[str], names: set[str], part: str) -> None:
    missing, unexpected = sorted(expected - names), sorted(names - expected)
    if missing or unexpected:
        raise CheckpointError(
            f"the config of the {part} asks for {len(expected)} tensors. "
            f"Missing: {listed(missing)}. Unexpected: {listed(unexpected)}. Got: {len(names)}"
        )


def listed(names: Sequence[str]) -> str:
    """Returns some of `names` for an error, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:_SHOWN]) + more if names else "none"


def read_part(path: Path, config: TandemConfig, part: str) -> dict[str, np.ndarray]:
    """Returns the tensors of one file, read-only views of the mapped file.

    Raises:
      CheckpointError: not safetensors, cut short, or not the tensors that `config` asks for.
    """
    places = locate_tensors(path, error=CheckpointError)
    check_tensors(config, part, specs(places))
    return map_tensors(path)


def map_tensors(path: Path) -> dict[str, np.ndarray]:
    """Maps every tensor of a safetensors file, read-only views of the mapped file.

    Raises:
      CheckpointError: not safetensors, cut short, or with a tensor of another dtype than float32,
        bfloat16, float16 and int32.
    """
    arrays = storage.map_tensors(path, error=CheckpointError)
    for name, array in arrays.items():
        if str(array.dtype) not in MAPPED:
            rule = f"tensor `{name}` must be one of {', '.join(MAPPED)}"
            raise CheckpointError(f"{rule}. Got: {array.dtype}")
    return arrays


def write_part(path: Path, arrays: Mapping[str, HasShape]) -> None:
    """Writes one safetensors file, tensor by tensor."""
    write_weights(path, arrays, None)


def check_same(expected: Mapping[str, HasShape], written: Mapping[str, np.ndarray]) -> None:
    """Compares the bytes of two sets of tensors that have the same names, tensor by tensor.

    Raises:
      CheckpointError: dtype, shape or bytes of a tensor differ.
    """
    for name, leaf in expected.items():
        array = np.asarray(leaf)
        for what, of in (("dtype", _dtype), ("shape", np.shape)):
            if of(array) != of(written[name]):
                raise CheckpointError(
                    f"tensor `{name}`: {what} must be {of(array)}. Got: {of(written[name])}"
                )
        different = _differing(_bytes(array), _bytes(written[name]))
        if different:
            raise CheckpointError(
                f"tensor `{name}` must have the same values. Got: {different} bytes that differ"
            )
        forget_pages(written[name])


def _dtype(array: np.ndarray) -> str:
    return str(array.dtype)


def _differing(one: np.ndarray, other: np.ndarray) -> int:
    starts = range(0, len(one), _COMPARED)
    pieces = ((one[at : at + _COMPARED], other[at : at + _COMPARED]) for at in starts)
    return sum(int(np.count_nonzero(a != b)) for a, b in pieces)


def _bytes(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
