"""Imported models compute what `transformers` computes with them (tests/importing/models.py)."""

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
from tests.importing.models import TOKENS, T
from tests.tiny import alone

TOLERANCE = 2e-4


@cache
def pair(config: DecoderConfig, block: int) -> Pair:
    options = BuildOptions(
        roles=("primary_block",),
        batch=(2,),
        gamma=(block - 1,),
        prompt=(8,),
        cache=16,
        max_new=4,
        dtype="float32",
    )
    return Pair(alone(config), options)


def own_logits(source: Source, width: int) -> np.ndarray:
    """Logits `[B, T, V]`, in blocks of `width` tokens over the cache."""
    block = max(width, 2)  # The shortest block; what a longer one writes is written over.
    graphs = pair(source.config, block)
    params: dict[str, Any] = {
        f"primary.{name}": np.asarray(t) for name, t in source.tensors.items()
    }
    tokens = np.pad(TOKENS, ((0, 0), (0, block - width)))
    state, out = graphs.empty(2), []
    for at in range(0, T, width):
        inputs = {"tokens": tokens[:, at : at + block], "start": np.full(2, at, np.int32)}
        outputs, state = graphs.call(f"primary_block_b2_t{block}", params, state, inputs)
        out.append(np.asarray(outputs["logits"])[:, :width])
    return np.concatenate(out, 1)


@pytest.mark.parametrize("name", models.MODELS)
def test_logits_are_those_of_transformers(name: str) -> None:
    source = read_source(str(models.folder(name)), "primary")
    for width, want in models.reference(name).items():
        assert want.std() > 0.3, "flat logits prove nothing"
        assert np.abs(own_logits(source, width) - want).max() < TOLERANCE


@pytest.mark.parametrize("name", ["llama3", "gemma3"])
def test_shards_are_read_like_one_file(name: str) -> None:
    folder: Path = models.folder(name, 3)
    assert len(list(folder.glob("*.safetensors"))) == 3
    one, many = (read_source(str(path), "primary") for path in (models.folder(name), folder))
    assert one.config == many.config and set(one.tensors) == set(many.tensors)
    for key, tensor in one.tensors.items():
        assert (np.asarray(tensor) == np.asarray(many.tensors[key])).all()


def test_goldens_are_of_the_models_that_are_listed() -> None:
    assert set(models.facts()["inputs"]) == set(models.MODELS)
    assert {path.name for path in models.GOLDENS.iterdir() if path.is_dir()} == set(models.MODELS)
    assert {"transformers", "torch"} <= set(models.facts()["versions"])


def test_a_golden_of_other_inputs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    kind, settings = models.MODELS["llama2"]
    monkeypatch.setitem(models.MODELS, "llama2", (kind, settings | {"rms_norm_eps": 1e-5}))
    with pytest.raises(AssertionError, match="goldens/llama2 is not of today's inputs"):
        models.reference("llama2")
