"""Reads a GGUF file: metadata, quantised tensors, vocabulary."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, dequantize

from tandem_export.checkpoint.record import naming
from tandem_export.config import DecoderConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing import names
from tandem_export.importing.families import family
from tandem_export.importing.gguf_config import decoder_config
from tandem_export.importing.lazy import LazyTensor
from tandem_export.importing.source import Source, collect
from tandem_export.tokenizer import read_gguf_vocabulary

_DIVISORS = "rope_freqs.weight"
# Rows dequantised at a time: the library holds its result twice.
_ROWS = 4096
_SPLIT = "split.count"


class _Reader(GGUFReader):
    """Over a plain array: slices of a `memmap`, one for each token, take ten times as long."""

    @property
    def data(self) -> np.ndarray:  # type: ignore[override]
        """The bytes of the file."""
        return self._plain

    @data.setter
    def data(self, value: np.ndarray) -> None:
        self._plain = np.asarray(value)


def read_gguf(path: Path) -> Source:
    """The decoder in a GGUF file; tensors are dequantised to float32 when they are read.

    Raises:
      CheckpointError: not GGUF, an unknown architecture, setting, tensor type or vocabulary.
    """
    with naming(path.name):
        try:
            reader = _Reader(path)
        except ValueError as error:
            raise CheckpointError(f"not a GGUF file: {error}") from error
        fields = {key: field.contents() for key, field in reader.fields.items()}
        if fields.get(_SPLIT, 1) > 1:
            raise CheckpointError(
                f"a file in one piece is needed; join the parts with `llama-gguf-split --merge`. "
                f"Got: part 1 of {fields[_SPLIT]}"
            )
        return _source(path, fields, {tensor.name: tensor for tensor in reader.tensors})


def _source(path: Path, fields: dict[str, Any], stored: dict[str, Any]) -> Source:
    name = fields.get("general.architecture")
    kind = family(name, "the metadata", gguf=True)
    found = {key: _tensor(tensor) for key, tensor in stored.items()}
    divisors = found[_DIVISORS].read() if _DIVISORS in found else None
    rows = found["token_embd.weight"].shape[0] if "token_embd.weight" in found else 0
    config = decoder_config(fields, kind, found, rows, divisors)
    if name == "llama":
        found |= _unpermuted(config, found)
    return Source(
        config=config,
        tensors=collect(config, names.GGUF, found, "the tensors", unused=[_DIVISORS]),
        text=read_gguf_vocabulary(fields),
        facts={
            "format": "gguf",
            "family": name,
            "file": path.name,
            "types": sorted({tensor.tensor_type.name for tensor in stored.values()}),
        },
    )


def _tensor(tensor: Any) -> LazyTensor:
    shape = tuple(int(size) for size in reversed(tensor.shape))
    read = partial(_dequantized, tensor.name, tensor.data, tensor.tensor_type, shape)
    return LazyTensor(shape=shape, dtype=np.dtype(np.float32), read=read)


def _dequantized(
    name: str, data: np.ndarray, kind: GGMLQuantizationType, shape: tuple[int, ...]
) -> np.ndarray:
    """`data`, one row of bytes a row, as float32."""
    out = np.empty(shape, np.float32)
    rows, whole = data.reshape(-1, data.shape[-1]), out.reshape(-1, shape[-1])
    try:
        for at in range(0, len(rows), _ROWS):
            whole[at : at + _ROWS] = dequantize(rows[at : at + _ROWS], kind)
    except NotImplementedError as error:
        raise CheckpointError(
            f"tensor `{name}`: its type must be one that the `gguf` package can dequantize. "
            f"Got: {kind.name}"
        ) from error
    return out


def _unpermuted(config: DecoderConfig, found: dict[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Llama's q and k: GGUF has the two halves of each head's rows interleaved."""
    heads = {"attn_q": config.num_heads, "attn_k": config.num_kv_heads}
    return {
        f"blk.{j}.{part}.{leaf}": found[f"blk.{j}.{part}.{leaf}"].take(_halves(count, config))
        for j in range(config.num_layers)
        for part, count in heads.items()
        for leaf in ("weight", "bias")
        if f"blk.{j}.{part}.{leaf}" in found
    }


def _halves(heads: int, config: DecoderConfig) -> np.ndarray:
    """Head size 4: rows 0 2 1 3 of each head."""
    H = config.head_size
    order = np.arange(heads * H).reshape(heads, H // 2, 2)
    return order.swapaxes(1, 2).reshape(-1)
