"""Reads a GGUF file: metadata, quantised tensors, vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tandem_export.checkpoint import naming
from tandem_export.config import DecoderConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing import names
from tandem_export.importing.families import family
from tandem_export.importing.gguf.config import decoder_config
from tandem_export.importing.gguf.tensors import read_tensors, type_name
from tandem_export.importing.lazy import LazyTensor
from tandem_export.importing.source import Source, collect
from tandem_export.storage import Fields, GgufHeader, read_gguf_header
from tandem_export.tokenizer import read_gguf_vocabulary

__all__ = ["read_gguf"]

_DIVISORS = "rope_freqs.weight"


def read_gguf(path: Path) -> Source:
    """Returns the decoder in a GGUF file; tensors are dequantised to float32 when they are read.

    Raises:
      CheckpointError: not GGUF, an unknown architecture, setting, tensor type or vocabulary.
    """
    header = read_gguf_header(path, error=CheckpointError)
    with naming(path.name):
        fields = Fields(values=header.fields, error=CheckpointError)
        _check_whole(fields)
        return _source(path, fields, header)


def _check_whole(fields: Fields) -> None:
    parts = fields.integer("split.count", 0, 2**16) or 1
    if parts > 1:
        part = (fields.integer("split.no", 0, 2**16) or 0) + 1
        raise CheckpointError(
            f"a file in one piece is needed; join the parts with `llama-gguf-split --merge`. "
            f"Got: part {part} of {parts}"
        )


def _source(path: Path, fields: Fields, header: GgufHeader) -> Source:
    name = fields.text("general.architecture")
    kind = family(name, "the metadata", gguf=True)
    tensors = read_tensors(path, header.tensors)
    rows = tensors["token_embd.weight"].shape[0] if "token_embd.weight" in tensors else 0
    config = decoder_config(fields, kind, tensors, rows, tensors.get(_DIVISORS))
    if name == "llama":
        tensors |= _unpermuted(config, tensors)
    return Source(
        config=config,
        tensors=collect(config, names.GGUF, tensors, "the tensors", unused=[_DIVISORS]),
        text=read_gguf_vocabulary(fields),
        facts={
            "format": "gguf",
            "family": name,
            "file": path.name,
            "types": sorted({type_name(record) for record in header.tensors}),
        },
    )


def _unpermuted(config: DecoderConfig, tensors: dict[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Llama's q and k: GGUF has the two halves of each head's rows interleaved."""
    heads = {"attn_q": config.num_heads, "attn_k": config.num_kv_heads}
    return {
        f"blk.{j}.{part}.{leaf}": tensors[f"blk.{j}.{part}.{leaf}"].take(_halves(count, config))
        for j in range(config.num_layers)
        for part, count in heads.items()
        for leaf in ("weight", "bias")
        if _rows(tensors, f"blk.{j}.{part}.{leaf}") == count * config.head_size
    }


def _rows(tensors: dict[str, LazyTensor], name: str) -> int | None:
    return tensors[name].shape[0] if name in tensors else None


def _halves(heads: int, config: DecoderConfig) -> np.ndarray:
    """Undoes the converter's order of rows in a head; of 4 rows it was 0 2 1 3."""
    H = config.head_size
    order = np.arange(heads * H).reshape(heads, H // 2, 2)
    return order.swapaxes(1, 2).reshape(-1)
