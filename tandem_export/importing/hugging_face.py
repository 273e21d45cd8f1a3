"""Reads a Hugging Face folder: `config.json`, safetensors, tokenizer files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from tandem_export.checkpoint.record import naming
from tandem_export.checkpoint.tensors import map_tensors
from tandem_export.errors import CheckpointError
from tandem_export.importing.families import family
from tandem_export.importing.hugging_face_config import decoder_config
from tandem_export.importing.lazy import LazyTensor, lazy
from tandem_export.importing.source import Source, collect
from tandem_export.tokenizer import read_hugging_face

_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"
# Gemma 3 with images keeps its language model inside; the two ways that it was written.
_INSIDE = re.compile(r"^(?:language_model\.model|model\.language_model)\.")
_NOT_TEXT = ("vision_tower.", "multi_modal_projector.", "model.vision_tower.")
_NOT_TEXT += ("model.multi_modal_projector.",)


def read_folder(folder: Path) -> Source:
    """The decoder in a Hugging Face folder; weights are mapped, not read.

    Raises:
      CheckpointError: an unknown family or setting, a tensor that is missing or left over, or no
        safetensors.
    """
    with naming(folder.name):
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        values, kind = _language_model(values)
        traits = family(kind, "config.json")
        config = decoder_config(values, traits, "config.json")
        found = _tensors(folder)
        unused = [name for name in found if name.endswith("rotary_emb.inv_freq")]
        tensors = collect(config, traits.hugging_face, found, "safetensors", unused=unused)
        return Source(
            config=config,
            tensors=tensors,
            text=read_hugging_face(folder),
            facts={"format": "hugging-face", "family": kind, "folder": folder.name},
        )


def _language_model(values: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    if values.get("model_type") == "gemma3" and "text_config" in values:
        return values["text_config"], "gemma3_text"
    return values, values.get("model_type")


def _files(folder: Path) -> list[Path]:
    if (folder / _INDEX).is_file():
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        return [folder / name for name in sorted(set(index["weight_map"].values()))]
    if (folder / _SINGLE).is_file():
        return [folder / _SINGLE]
    rule = f"`{_INDEX}` with its shards, or `{_SINGLE}`; pickled weights (.bin) are never loaded"
    got = sorted(path.name for path in folder.iterdir())
    raise CheckpointError(f"the weights must be {rule}. Got: {got}")


def _tensors(folder: Path) -> dict[str, LazyTensor]:
    arrays: dict[str, np.ndarray] = {}
    for path in _files(folder):
        if not path.is_file() or path.parent != folder:
            raise CheckpointError(
                f"the shard `{path.name}` must be in the folder. Got: no such file"
            )
        with naming(path.name):
            arrays |= map_tensors(path)
    return {_name(n): lazy(a) for n, a in arrays.items() if not n.startswith(_NOT_TEXT)}


def _name(name: str) -> str:
    return _INSIDE.sub("model.", name).replace("language_model.lm_head.", "lm_head.")
