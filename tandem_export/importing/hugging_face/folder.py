"""Reads a Hugging Face folder: `config.json`, safetensors, tokenizer files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from tandem_export.checkpoint import naming
from tandem_export.config import DecoderConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.families import family
from tandem_export.importing.hugging_face.config import decoder_config
from tandem_export.importing.hugging_face.weights import read_tensors, same_values, split_fused
from tandem_export.importing.lazy import LazyTensor
from tandem_export.importing.source import Source, collect
from tandem_export.importing.text import fitted
from tandem_export.jsontypes import JsonObject
from tandem_export.storage import read_json_object, refuse_links_outside
from tandem_export.tokenizer import read_hugging_face

_CONFIG = "config.json"
_READ = (".json", ".safetensors")
# Models with images keep their language model inside, and say in `text_config` what it is. Whether
# its embeddings are tied they say outside; the defaults are those of their configuration classes.
_TIED = {"gemma3": True, "llava": False, "mistral3": True}
_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def read_folder(folder: Path) -> Source:
    """Returns the decoder in a Hugging Face folder; weights are mapped, not read.

    Raises:
      CheckpointError: an unknown family or setting, a tensor that is missing or left over, no
        safetensors, or a file that is not what its name says.
    """
    with naming(folder.name):
        refuse_links_outside(folder, _READ, error=CheckpointError)
        values = read_json_object(folder / _CONFIG, error=CheckpointError, lenient=True)
        with naming(_CONFIG):
            values, name = _language_model(values)
            kind = family(name, "the settings")
            config = decoder_config(values, kind)
        stored = read_tensors(folder)
        stored = split_fused(config, stored) if kind.fused else stored
        config, stored, notes = _with_head(config, stored)
        text, dropped = read_hugging_face(folder), []
        if text is not None:
            text, dropped = fitted(text, config.vocab_size)
        unused = [name for name in stored if name.endswith("rotary_emb.inv_freq")]
        return Source(
            config=config,
            tensors=collect(config, kind.hugging_face, stored, "safetensors", unused=unused),
            text=text,
            facts={
                "format": "hugging-face",
                "family": name,
                "folder": folder.name,
                "notes": [*notes, *dropped],
            },
        )


def _language_model(values: JsonObject) -> tuple[JsonObject, str | None]:
    """Returns the settings of the language model, and its `model_type`."""
    name, inner = values.get("model_type"), values.get("text_config")
    if isinstance(name, str) and name in _TIED and isinstance(inner, dict):
        key, default = "tie_word_embeddings", _TIED[name]
        # LLaVA's first files say it inside.
        tied = values.get(key, default) or (not default and inner.get(key, False))
        name = inner.get("model_type", "gemma3_text" if name == "gemma3" else None)
        values = {**inner, key: tied}
    return values, name if isinstance(name, str) else None


def _with_head(
    config: DecoderConfig, stored: Mapping[str, LazyTensor]
) -> tuple[DecoderConfig, Mapping[str, LazyTensor], list[str]]:
    """Settles what a folder with tied embeddings has for its head, as `transformers` does."""
    if not config.tied_embedding or _HEAD not in stored:
        return config, stored, []
    if _EMBEDDING not in stored:
        return config, {**stored, _EMBEDDING: stored[_HEAD]}, []
    if same_values(stored[_HEAD], stored[_EMBEDDING]):
        return config, stored, []
    note = (
        f"`{_HEAD}` is the head: it differs from the embedding, although `tie_word_embeddings` is "
        "true"
    )
    return dataclasses.replace(config, tied_embedding=False), stored, [note]
