"""A whole pair in an owner's own naming, with a configuration and a map of names."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from tandem_export.checkpoint import listed, naming
from tandem_export.config import TandemConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.foreign.arrays import read_arrays
from tandem_export.importing.foreign.fused import Source, check_cuts
from tandem_export.importing.foreign.name_map import PARTS, NameMap, read_name_map
from tandem_export.importing.lazy import LazyTensor
from tandem_export.importing.source import is_matrix

Parts = dict[str, dict[str, LazyTensor]]


def read_own_pair(weights: Path, config: TandemConfig, map_file: Path | None) -> Parts:
    """Returns the tensors of a pair by part and by this project's names.

    Args:
      weights: see `read_arrays`.
      config: of the pair.
      map_file: see `read_name_map`; without it the tensors are called `PART.NAME`.

    Raises:
      CheckpointError: a tensor is missing, left over or of another shape, by the owner's names.
    """
    names = NameMap()
    if map_file is not None:
        with naming(map_file.name):
            names = read_name_map(map_file)
    return _renamed(read_arrays(weights), config, names, weights.name)


def _renamed(
    arrays: Mapping[str, LazyTensor], config: TandemConfig, names: NameMap, where: str
) -> Parts:
    from tandem_export.model import abstract, has_part  # Imports jax.

    wanted = {part: abstract(config, part) for part in PARTS if has_part(config, part)}
    theirs = {
        (part, name): Source.parse(names.theirs(part, name))
        for part, expected in wanted.items()
        for name in expected
    }
    _check_names(
        names,
        {part: set(expected) for part, expected in wanted.items()},
        theirs,
        set(arrays),
        where,
    )
    sizes = {
        source.name: _theirs(arrays[source.name].shape, not _is_turned(name, names))[0]
        for (_, name), source in theirs.items()
        if source.outputs is not None
    }
    with naming(where):
        check_cuts(tuple(theirs.values()), sizes)
    parts: Parts = {part: {} for part in wanted}
    for (part, name), their in theirs.items():
        leaf, decoder = wanted[part][name], config.primary if part == "primary" else config.drafter
        given = arrays[their.name]
        tensor = _laid_out(their, given, name, names, decoder.head_size)
        if tensor.shape != leaf.shape:
            turned = _is_turned(name, names)
            want, got = (list(_theirs(one.shape, turned)) for one in (leaf, tensor))
            raise CheckpointError(
                f"`{where}`: tensor `{their}`, which is {part} `{name}`, must have shape "
                f"{want} by the configuration. Got: {got}"
            )
        is_id = leaf.dtype == np.int32
        parts[part][name] = tensor.cast(np.dtype(np.int32)) if is_id else tensor
    return parts


def _check_names(
    names: NameMap,
    wanted: Mapping[str, set[str]],
    theirs: Mapping[tuple[str, str], Source],
    present: set[str],
    where: str,
) -> None:
    if unknown := names.unknown(wanted):
        raise CheckpointError(
            "the map's left side must be tensors that docs/reference/checkpoint.md lists and the "
            f"configuration asks for. Got: {listed(unknown)}"
        )
    sources = {source.name for source in theirs.values()}
    left = present - sources
    left = {name for name in left if not any(fnmatchcase(name, p) for p in names.unused)}
    missing = sorted(sources - present)
    if missing or left:
        raise CheckpointError(
            f"`{where}` must hold the {len(sources)} tensors of the configuration, by the map's "
            f"names. Missing: {listed(missing)}. Not asked for: {listed(sorted(left))}. Add them "
            "to the map, or what is rightly left out to its `unused`"
        )


def _theirs(shape: tuple[int, ...], turned: bool) -> tuple[int, ...]:
    return shape[::-1] if turned else shape


def _is_turned(name: str, names: NameMap) -> bool:
    return names.matrices == "out_in" and is_matrix(name)


def _laid_out(
    source: Source, tensor: LazyTensor, name: str, names: NameMap, head_size: int
) -> LazyTensor:
    """Returns the tensor `[in, out]`, cut out of a fused one, heads in two halves."""
    if _is_turned(name, names):
        tensor = tensor.transposed()
    tensor = source.cut(tensor)
    if names.rotary == "interleaved" and _is_rotated(name) and tensor.shape:
        size = tensor.shape[-1]
        if size % head_size == 0:
            return tensor.take(_halves_first(size, head_size), axis=len(tensor.shape) - 1)
    return tensor


def _is_rotated(name: str) -> bool:
    """Returns whether the last axis runs over heads whose pairs are turned."""
    pieces = name.split(".")
    return "attention" in pieces and pieces[-2] in ("q", "k", "q_norm", "k_norm")


def _halves_first(size: int, head_size: int) -> np.ndarray:
    """Returns where each place of `[heads * H]` in halves lies in the interleaved order."""
    order = np.arange(size).reshape(-1, head_size // 2, 2)
    return order.swapaxes(1, 2).reshape(-1)
