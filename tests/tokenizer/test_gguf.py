"""Byte-level vocabularies of GGUF split text as the tokenizer that they were made of."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from tandem_export.errors import CheckpointError
from tandem_export.storage import Fields
from tandem_export.tokenizer import begin_token, read_gguf_vocabulary
from tandem_export.tokenizer.pieces import SPACE, Kind
from tests.tokenizer.gguf_fields import as_fields
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


def fields(kind: str, **changed: Any) -> Fields:
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
    named = {f"tokenizer.ggml.{key}": value for key, value in (values | changed).items()}
    return as_fields({key: value for key, value in named.items() if value is not None})


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
    given = fields("llama-bpe")
    given = as_fields({**given.values, "tokenizer.chat_template": "{{ 1 }}"})
    text = read_gguf_vocabulary(given)
    assert text.end_tokens == (2, 1)  # its own, and the one that ends a turn
    assert text.chat_template == "{{ 1 }}"
    assert begin_token(text.tokenizer_json) == 0
    assert begin_token(read_gguf_vocabulary(fields("qwen2")).tokenizer_json) is None
    asked = read_gguf_vocabulary(fields("qwen2", add_bos_token=True))
    assert begin_token(asked.tokenizer_json) == 0


def scored(**changed: Any) -> Fields:
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), SPACE, *"abc", "ab"]
    values = {
        "model": "llama",
        "tokens": texts,
        "token_type": [2, 3, 3] + [6] * 256 + [1] * 5,
        "scores": [-float(i) for i in range(len(texts))],
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    named = {f"tokenizer.ggml.{key}": value for key, value in (values | changed).items()}
    return as_fields({key: value for key, value in named.items() if value is not None})


def ids(given: Fields, text: str) -> list[int]:
    return Tokenizer.from_str(read_gguf_vocabulary(given).tokenizer_json).encode(text).ids


def test_a_scored_vocabulary() -> None:
    assert ids(scored(), "ab cé") == [1, 259, 263, 259, 262, 3 + 0xC3, 3 + 0xA9]


@pytest.mark.parametrize("left_out", ["token_type", "scores", "bos_token_id", "eos_token_id"])
def test_what_llama_cpp_does_without(left_out: str) -> None:
    """Its defaults: all scores equal, ids 1 and 2; bytes are told by their texts."""
    given = scored(**{left_out: None})
    assert ids(given, "ab cé") == [1, 259, 263, 259, 262, 3 + 0xC3, 3 + 0xA9]
    assert read_gguf_vocabulary(given).end_tokens == (2,)
    assert ids(given, "</s>a") == [1, 2, 259, 260]  # found in a text, as control tokens are


def test_unused_pieces_are_never_made() -> None:
    """llama.cpp's converter pads a vocabulary with them; here the last is a union of others."""
    texts = [*scored().values["tokenizer.ggml.tokens"], "[PAD264]", "bc"]
    kinds = [*scored().values["tokenizer.ggml.token_type"], Kind.UNUSED, Kind.UNUSED]
    given = scored(tokens=texts, token_type=kinds, scores=[-float(i) for i in range(len(texts))])
    assert ids(given, "ab bc") == [1, 259, 263, 259, 261, 262]
    assert ids(given, "[PAD264]")[:2] == [1, 259]


def test_an_id_beyond_the_vocabulary_is_none() -> None:
    """2**32 - 1 is how some converters write that there is no such token."""
    given = fields("qwen2", eot_token_id=2**32 - 1, bos_token_id=2**32 - 1, add_bos_token=True)
    text = read_gguf_vocabulary(given)
    assert text.end_tokens == (2, 1) and begin_token(text.tokenizer_json) is None


def test_special_texts_are_the_vocabularys_own() -> None:
    given = fields("qwen2", padding_token_id=1, unknown_token_id=2**32 - 1)
    want = {"bos_token": "<|begin|>", "eos_token": "<|x|>", "pad_token": "<|eot_id|>"}
    assert read_gguf_vocabulary(given).special == want


def test_a_token_without_text_has_llama_cpps_name_for_it() -> None:
    tokens = [*fields("qwen2").values["tokenizer.ggml.tokens"], ""]
    kinds = [*fields("qwen2").values["tokenizer.ggml.token_type"], Kind.NORMAL]
    text = read_gguf_vocabulary(fields("qwen2", tokens=tokens, token_type=kinds))
    last = len(tokens) - 1
    assert Tokenizer.from_str(text.tokenizer_json).id_to_token(last) == f"[EMPTY_{last}]"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "t5"}, r"`tokenizer.ggml.model` must be one of \['gpt2', 'llama'\]. Got: 't5'"),
        ({"pre": "x"}, r"must be one of \[.*'llama-bpe', .*'smollm', .*\]. Got: 'x'"),
        ({"pre": None}, r"must be one of .*\. Got: None"),
        ({"merges": None}, r"the setting `tokenizer\.ggml\.merges` is missing"),
        ({"merges": ["a"]}, r"are one token together\. Got: item 0, 'a'"),
        ({"merges": ["a zz"]}, r"are one token together\. Got: item 0, 'a zz'"),
        ({"tokens": None}, r"the setting `tokenizer\.ggml\.tokens` is missing"),
        ({"tokens": []}, r"must have at least one token\. Got: none"),
        ({"tokens": ["a", "b", "a"]}, r"must not have one text twice\. Got: 'a'"),
        ({"tokens": ["a" * 2000]}, r"at most 1024 characters\. Got: 2000, which begin with 'aaa"),
        ({"token_type": [1, 1]}, r"must have one item for each of 700 tokens\. Got: 2"),
        ({"token_type": [1.0]}, r"`tokenizer\.ggml\.token_type` must be a list of whole numbers"),
        ({"add_bos_token": 1}, r"`tokenizer\.ggml\.add_bos_token` must be true or false\. Got: 1"),
    ],
)
def test_other_vocabularies_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_gguf_vocabulary(fields("qwen2", **changed))
