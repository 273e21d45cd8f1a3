"""The tensors of a Hugging Face folder, under the names that its family has in `transformers`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tandem_export.checkpoint import map_tensors, naming
from tandem_export.config import DecoderConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.lazy import LazyTensor, lazy
from tandem_export.storage import read_json_object

_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"
# The two ways in which models with images name their language model.
_INSIDE = re.compile(r"^(?:language_model\.model|model\.language_model)\.")
_NOT_TEXT = re.compile(r"^(?:model\.)?(?:vision_tower|multi_modal_projector)\.")
_HEAD = "lm_head."
_COMPARED = 4096  # rows at a time
_SHOWN = 60


def read_tensors(folder: Path) -> dict[str, LazyTensor]:
    """Returns the folder's tensors, mapped: `model.` before all names but the head's.

    Raises:
      CheckpointError: no safetensors, a shard that is not in the folder, or a damaged file.
    """
    arrays: dict[str, np.ndarray] = {}
    for path in _files(folder):
        with naming(path.name):
            arrays |= map_tensors(path)
    named = {_name(n): lazy(array) for n, array in arrays.items() if not _NOT_TEXT.match(n)}
    if any(name.startswith("model.") for name in named):
        return named
    # Embedding models are saved without their head, and then without the prefix.
    return {n if n.startswith(_HEAD) else f"model.{n}": tensor for n, tensor in named.items()}


def _files(folder: Path) -> list[Path]:
    # As in `transformers`, a single file goes before an index, which may be of an earlier download.
    if (folder / _SINGLE).exists():
        return [folder / _SINGLE]
    if (folder / _INDEX).exists():
        return _shards(folder)
    rule = f"`{_SINGLE}`, or `{_INDEX}` with its shards; pickled weights (.bin) are never loaded"
    got = sorted(path.name for path in folder.iterdir())
    raise CheckpointError(f"the weights must be {rule}. Got: {got}")


def _shards(folder: Path) -> list[Path]:
    places = read_json_object(folder / _INDEX, error=CheckpointError, lenient=True)
    files = places.get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
        raise CheckpointError(
            f"`{_INDEX}`: `weight_map` must say for each tensor which file it is in. "
            f"Got: {str(files)[:_SHOWN]}"
        )
    present = {path.name for path in folder.iterdir()}
    for name in files.values():
        if name not in present:
            raise CheckpointError(
                f"the shard {name[:_SHOWN]!r} must be in the folder. Download it, or all of the "
                "weights again. Got: no such file"
            )
    return [folder / name for name in sorted(set(files.values()))]


def _name(name: str) -> str:
    return _INSIDE.sub("model.", name).replace("language_model.lm_head.", _HEAD)


def split_fused(config: DecoderConfig, stored: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Returns the tensors with `qkv_proj` and `gate_up_proj` (Phi 3) as what they are made of.

    Raises:
      CheckpointError: such a tensor has another number of rows than its parts together.
    """
    keys = config.num_kv_heads * config.head_size
    parts = {
        "qkv_proj": {"q_proj": config.num_heads * config.head_size, "k_proj": keys, "v_proj": keys},
        "gate_up_proj": {"gate_proj": config.ff_size, "up_proj": config.ff_size},
    }
    split: dict[str, LazyTensor] = {}
    for name, tensor in stored.items():
        fused = parts.get(name.split(".")[-2]) if "." in name else None
        split |= {name: tensor} if fused is None else _rows(name, tensor, fused)
    return split


def _rows(name: str, tensor: LazyTensor, parts: Mapping[str, int]) -> dict[str, LazyTensor]:
    rows = sum(parts.values())
    if tensor.shape[:1] != (rows,):
        raise CheckpointError(
            f"tensor `{name}` must have {rows} rows by the configuration. "
            f"Got: shape {list(tensor.shape)}"
        )
    out, at = {}, 0
    outer, _, leaf = name.rsplit(".", 2)
    for part, count in parts.items():
        out[f"{outer}.{part}.{leaf}"] = tensor.take(np.arange(at, at + count))
        at += count
    return out


def same_values(one: LazyTensor, other: LazyTensor) -> bool:
    """Returns whether two tensors have equal shape, dtype and bytes; reads some rows at a time."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    first, second = one.read(), other.read()
    starts = range(0, len(first), _COMPARED)
    return all(
        first[at : at + _COMPARED].tobytes() == second[at : at + _COMPARED].tobytes()
        for at in starts
    )
