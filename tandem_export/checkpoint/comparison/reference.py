"""An owner's reference: outputs of the owner's own program, as an `.npz` file.

docs/how-to/own-weights.md says what each array holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tandem_export.checkpoint.comparison.npz import load_npz
from tandem_export.checkpoint.record import naming
from tandem_export.config import TandemConfig
from tandem_export.errors import CheckpointError

_OPTIONAL = re.compile(r"(primary\.activation|drafter\.projected)\.(0|[1-9]\d{0,5})")


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """What an owner's program made of some sequences.

    Attributes:
      tokens: `[B, T]` int32.
      prefix: P, how many tokens the primary has processed where the drafter starts; 0 for an
        independent pair.
      outputs: name -> float64 array, of the shape that `output_shapes` gives.
    """

    tokens: np.ndarray
    prefix: int
    outputs: Mapping[str, np.ndarray]


def output_shapes(config: TandemConfig, B: int, T: int, P: int) -> dict[str, tuple[int, ...]]:
    """Returns the outputs that a reference must hold, with their shapes."""
    V = config.primary.vocab_size
    shapes = {"primary.logits": (B, T, V), "drafter.logits": (B, T - P, V)}
    return shapes | ({} if config.router is None else {"router.acceptance": (B, T - P)})


def read_reference(path: Path, config: TandemConfig) -> Reference:
    """Returns the reference in the file `path`, for a pair of `config`.

    Raises:
      CheckpointError: not an `.npz` file, an array that is missing, unknown, of another shape or
        not finite, tokens outside the vocabulary, or a prefix that leaves something untested.
    """
    with naming(path.name):
        arrays = load_npz(path)
        tokens = _tokens(arrays.pop("tokens", None), config)
        prefix = _prefix(arrays.pop("prefix", None), tokens.shape[1], config)
        B, T = tokens.shape
        wanted = output_shapes(config, B, T, prefix)
        extra = {n: s for n in arrays if (s := _optional(n, config, B, T, prefix)) is not None}
        missing = sorted(set(wanted) - set(arrays))
        unknown = sorted(set(arrays) - {*wanted, *extra})
        if missing or unknown:
            rule = f"`tokens`, `prefix`, {', '.join(f'`{name}`' for name in wanted)}"
            raise CheckpointError(
                f"a reference for this pair holds {rule}. Missing: {missing or 'none'}. "
                f"Unknown: {unknown or 'none'}"
            )
        shapes = wanted | extra
        outputs = {name: _output(name, arrays[name], shapes[name], config) for name in arrays}
    return Reference(tokens=tokens, prefix=prefix, outputs=outputs)


def _tokens(tokens: np.ndarray | None, config: TandemConfig) -> np.ndarray:
    if tokens is None or tokens.ndim != 2 or tokens.dtype.kind not in "iu" or not tokens.size:
        got = "none" if tokens is None else f"{tokens.dtype} {list(tokens.shape)}"
        raise CheckpointError(f"`tokens` must be whole numbers `[B, T]`. Got: {got}")
    most = config.primary.vocab_size - 1
    if tokens.min() < 0 or tokens.max() > most:
        raise CheckpointError(
            f"`tokens` must lie in 0 .. {most}. Got: {tokens.min()} .. {tokens.max()}"
        )
    return tokens.astype(np.int32)


def _prefix(prefix: np.ndarray | None, length: int, config: TandemConfig) -> int:
    """Returns how many rows are projected; of either kind of rows, two at least must be read."""
    if not config.is_tandem:
        if prefix is not None and prefix.any():
            raise CheckpointError("`prefix` of an independent pair must be 0 or left out")
        return 0
    if (
        prefix is None
        or prefix.ndim
        or prefix.dtype.kind not in "iu"
        or not (2 <= prefix <= length - 2)
    ):
        rule = f"one whole number from 2 to T - 2 = {length - 2}"
        raise CheckpointError(f"`prefix` must be {rule}. Got: {prefix}")
    return int(prefix)


def _optional(name: str, config: TandemConfig, B: int, T: int, P: int) -> tuple[int, ...] | None:
    """Returns the shape of an output that may be given too, to find a difference."""
    match = _OPTIONAL.fullmatch(name)
    if match is None:
        return None
    layer = int(match[2])
    if match[1] == "primary.activation":
        return (B, T, config.primary.width) if layer <= config.primary.num_layers else None
    return (B, P, config.drafter.width) if layer < len(config.layer_map) else None


def _output(
    name: str, array: np.ndarray, shape: tuple[int, ...], config: TandemConfig
) -> np.ndarray:
    if array.shape != shape or array.dtype.kind != "f":
        got = f"{array.dtype} {list(array.shape)}"
        raise CheckpointError(f"`{name}` must be floats of shape {list(shape)}. Got: {got}")
    # A drafter of fewer tokens may give the others any value, minus infinity too.
    checked = np.nan_to_num(array, neginf=0) if _is_sparse(name, config) else array
    if not np.isfinite(checked).all() or np.isnan(array).any():
        place = np.argwhere(~np.isfinite(array))[0].tolist()
        raise CheckpointError(f"`{name}` must be finite. Got: {array[tuple(place)]} at {place}")
    return array.astype(np.float64)


def _is_sparse(name: str, config: TandemConfig) -> bool:
    return name == "drafter.logits" and config.is_reduced
