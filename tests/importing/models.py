"""Small models as Hugging Face folders, and what `transformers` computes with them.

`goldens/NAME/` holds what only `transformers` can tell: the `config.json` that it writes, the names
and shapes of the tensors that it stores, and the logits. `make goldens` renews them in an
environment of its own; the tests need neither `transformers` nor torch. The weights are drawn here,
from the tensors' names.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.importing.catalogue import MODELS, ONE_BY_ONE, SIZES, WIDTHS

GOLDENS = Path(__file__).parent / "goldens"
FACTS = GOLDENS / "facts.json"
T, BLOCK = WIDTHS
# `RandomState` draws the same numbers with every version of numpy; new generators may not.
TOKENS = np.random.RandomState(0).randint(3, SIZES["vocab_size"], (2, T)).astype(np.int32)


@cache
def tensors(name: str) -> dict[str, np.ndarray]:
    """The weights, float32, large enough that every part of the model matters."""
    listing = json.loads((GOLDENS / name / "tensors.json").read_text(encoding="utf-8"))
    return {key: _draw(key, **entry) for key, entry in listing.items()}


def _draw(name: str, shape: list[int], initial: float) -> np.ndarray:
    """Uniform values: their bits depend on no mathematical library, those of normal ones do."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    unit = np.random.RandomState(seed).random_sample(shape) * 2 - 1
    if len(shape) == 1:
        return (initial + 0.5 * unit).astype(np.float32)
    scale = 0.9 if "embed" in name else 2.0 * shape[1] ** -0.5
    return (scale * unit).astype(np.float32)


@cache
def folder(name: str, shards: int = 1) -> Path:
    """The model as `save_pretrained` writes it."""
    path = Path(mkdtemp(prefix=f"{name}-"))
    shutil.copy(GOLDENS / name / "config.json", path)
    files = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    files = ["model.safetensors"] if shards == 1 else files
    place = {key: files[i % shards] for i, key in enumerate(tensors(name))}
    for file in files:
        save_file({k: v for k, v in tensors(name).items() if place[k] == file}, path / file)
    if shards > 1:
        index = json.dumps({"metadata": {}, "weight_map": place})
        (path / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    return path


def inputs_hash(name: str) -> str:
    """The sha256 of all that the logits follow from: settings, `config.json`, weights, tokens."""
    digest = hashlib.sha256(json.dumps(MODELS[name], sort_keys=True).encode())
    digest.update((GOLDENS / name / "config.json").read_bytes())
    for key, values in sorted(tensors(name).items()):
        digest.update(key.encode() + values.tobytes())
    digest.update(TOKENS.tobytes() + bytes(widths(name)))
    return digest.hexdigest()


def facts() -> dict[str, Any]:
    """Versions that the goldens were computed with, and hashes of their inputs."""
    return json.loads(FACTS.read_text(encoding="utf-8"))


def widths(name: str) -> tuple[int, ...]:
    """How many tokens a call the model is compared in."""
    return ONE_BY_ONE.get(name, WIDTHS)


def reference(name: str) -> dict[int, np.ndarray]:
    """Tokens a call -> the committed logits of `TOKENS`, `[B, T, V]` float32.

    Raises:
      AssertionError: they are of other inputs than today's.
    """
    stale = f"tests/importing/goldens/{name} is not of today's inputs: run `make goldens`"
    assert facts()["inputs"].get(name) == inputs_hash(name), stale
    logits = load_file(GOLDENS / name / "logits.safetensors")
    return {width: logits[f"width_{width}"] for width in widths(name)}
