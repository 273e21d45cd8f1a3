"""Imported models compute what `transformers` computes with them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tandem_export.config import DecoderConfig
from tandem_export.graphs import BuildOptions
from tandem_export.importing import Source, read_source
from tests.graphs.harness import Pair
from tests.importing import models
from tests.tiny import alone

pytest.importorskip("torch", reason="parity with transformers needs torch (the dev extra)")
pytest.importorskip("transformers", reason="parity with transformers needs it (the dev extra)")

T, BLOCK = 12, 4
TOLERANCE = 2e-4
TOKENS = np.random.default_rng(0).integers(3, 96, (2, T)).astype(np.int32)


@cache
def pair(config: DecoderConfig) -> Pair:
    options = BuildOptions(
        roles=("primary_block",),
        batch=(2,),
        gamma=(BLOCK - 1, T - 1),
        prompt=(8,),
        cache=16,
        max_new=4,
        dtype="float32",
    )
    return Pair(alone(config), options)


def own_logits(source: Source, width: int) -> np.ndarray:
    """Logits `[B, T, V]`, in blocks of `width` tokens over the cache."""
    made = pair(source.config)
    params: dict[str, Any] = {
        f"primary.{name}": np.asarray(t) for name, t in source.tensors.items()
    }
    state, out = made.empty(2), []
    for at in range(0, T, width):
        inputs = {"tokens": TOKENS[:, at : at + width], "start": np.full(2, at, np.int32)}
        outputs, state = made.call(f"primary_block_b2_t{width}", params, state, inputs)
        out.append(np.asarray(outputs["logits"]))
    return np.concatenate(out, 1)


@pytest.mark.parametrize("name", models.MODELS)
def test_logits_are_those_of_transformers(name: str) -> None:
    source = read_source(str(models.folder(name)), "primary")
    want = models.logits(name, TOKENS)
    assert want.std() > 0.3, "flat logits prove nothing"
    assert np.abs(own_logits(source, T) - want).max() < TOLERANCE
    cached = own_logits(source, BLOCK)
    assert np.abs(cached - models.cached_logits(name, TOKENS, BLOCK)).max() < TOLERANCE


@pytest.mark.parametrize("name", ["llama3", "gemma3"])
def test_shards_are_read_like_one_file(name: str) -> None:
    folder: Path = models.folder(name, "20kB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    one, many = (read_source(str(path), "primary") for path in (models.folder(name), folder))
    assert one.config == many.config and set(one.tensors) == set(many.tensors)
    for key, tensor in one.tensors.items():
        assert (np.asarray(tensor) == np.asarray(many.tensors[key])).all()
