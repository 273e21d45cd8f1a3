"""A tiny pair with a tokenizer of 16 words, as arguments of `write_checkpoint`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tokenizers import Tokenizer, models

from tandem_export.checkpoint import Vocabulary, write_checkpoint
from tandem_export.config import DecoderConfig, RouterConfig, TandemConfig
from tandem_export.model import PARTS, has_part, shapes

DTYPES = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16}
PRIMARY = DecoderConfig(
    vocab_size=16,
    num_layers=2,
    width=8,
    num_heads=2,
    num_kv_heads=1,
    head_size=4,
    ff_size=16,
    sliding_window=4,
    window_pattern=(True, False),
)
DRAFTER = DecoderConfig(
    vocab_size=16, num_layers=1, width=8, num_heads=2, num_kv_heads=1, head_size=4, ff_size=8
)


def _tokenizer(words: int) -> str:
    vocab = {"<eos>": 0} | {f"w{i}": i for i in range(1, words)}
    return Tokenizer(models.WordLevel(vocab, unk_token="<eos>")).to_str()


def _config(kind: str, router: bool) -> TandemConfig:
    return TandemConfig(
        primary=PRIMARY,
        drafter=DRAFTER,
        kind="tandem" if kind == "tandem" else "independent",
        layer_map=(2,) if kind == "tandem" else (),
        router=RouterConfig(top_k=2, hidden_size=4) if router else None,
    )


def _params(config: TandemConfig, dtype: str) -> dict[str, dict[str, np.ndarray]]:
    # The seed depends on the part alone, so that pairs share their primary.
    return {
        part: {
            name: np.random.default_rng(seed).standard_normal(shape).astype(DTYPES[dtype])
            for name, shape in shapes(config, part).items()
        }
        for seed, part in enumerate(PARTS)
        if has_part(config, part)
    }


@pytest.fixture
def tokenizer() -> Callable[[int], str]:
    """A tokenizer of so many words, as JSON."""
    return _tokenizer


@pytest.fixture
def arguments() -> Callable[..., dict[str, Any]]:
    """All arguments of `write_checkpoint` but the path, for a kind of pair."""

    def make(kind: str = "tandem", router: bool = True, dtype: str = "float32") -> dict[str, Any]:
        config = _config(kind, router)
        return {
            "config": config,
            "vocabulary": Vocabulary(size=16, end_tokens=(0, 3), begin_token=1),
            "tokenizer_json": _tokenizer(16),
            "params": _params(config, dtype),
            "provenance": {"steps": 3, "loss": [2.5, 1.25], "by": {"hand": True}},
        }

    return make


@pytest.fixture
def folder(tmp_path: Path, arguments: Callable[..., dict[str, Any]]) -> Path:
    """A written tandem checkpoint with a router."""
    path = tmp_path / "pair"
    write_checkpoint(path, **arguments())
    return path
