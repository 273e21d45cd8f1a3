"""Byte-level vocabularies of GGUF split text as the tokenizer that they were made of."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from tandem_export.errors import CheckpointError
from tandem_export.tokenizer import begin_token, read_gguf_vocabulary
from tandem_export.tokenizer.pieces import Kind
from tests.tokenizer.samples import AWKWARD, MULTILINGUAL

# As in the tokenizer.json of Llama 3 and of Qwen 2.5.
SPLITS = {
    "llama-bpe": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen2": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
SPECIAL = ["<|begin|>", "<|eot_id|>", "<|x|>"]


@cache
def original(kind: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama-bpe"))
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()  # type: ignore[assignment]
    steps = [
        pre_tokenizers.Split(Regex(SPLITS[kind]), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(MULTILINGUAL * 3, trainer)
    return tokenizer


def fields(kind: str, **changed: Any) -> dict[str, Any]:
    made = original(kind)
    vocabulary = made.get_vocab()
    tokens = sorted(vocabulary, key=lambda text: vocabulary[text])
    merges = json.loads(made.to_str())["model"]["merges"]
    values = {
        "model": "gpt2",
        "pre": kind,
        "tokens": tokens,
        "token_type": [Kind.CONTROL if t in SPECIAL else Kind.NORMAL for t in tokens],
        "merges": [" ".join(pair) for pair in merges],
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in (values | changed).items()}


@pytest.mark.parametrize("kind", SPLITS)
def test_ids_and_texts_are_the_originals(kind: str) -> None:
    text = read_gguf_vocabulary(fields(kind))
    ours = Tokenizer.from_str(text.tokenizer_json)
    for sample in (*MULTILINGUAL, *AWKWARD):
        want = original(kind).encode(sample).ids
        assert ours.encode(sample, add_special_tokens=False).ids == want, repr(sample)
        normal = sample if kind != "qwen2" else normalizers.NFC().normalize_str(sample)
        assert ours.decode(want, skip_special_tokens=False) == normal


def test_special_tokens() -> None:
    text = read_gguf_vocabulary(fields("llama-bpe") | {"tokenizer.chat_template": "{{ 1 }}"})
    assert text.end_tokens == (2, 1)  # its own, and the one that ends a turn
    assert text.chat_template == "{{ 1 }}"
    assert begin_token(text.tokenizer_json) == 0
    assert begin_token(read_gguf_vocabulary(fields("qwen2")).tokenizer_json) is None
    asked = read_gguf_vocabulary(fields("qwen2", add_bos_token=True))
    assert begin_token(asked.tokenizer_json) == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "t5"}, r"`tokenizer.ggml.model` must be one of \['gpt2', 'llama'\]. Got: 't5'"),
        ({"pre": "x"}, r"must be one of \[.*'llama-bpe', .*'smollm', .*\]. Got: 'x'"),
    ],
    ids=["model", "pre"],
)
def test_other_vocabularies_are_refused(changed: dict[str, str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_gguf_vocabulary(fields("qwen2", **changed))
