"""Reads the vocabulary of a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)

from tandem_export.errors import CheckpointError
from tandem_export.tokenizer.pieces import Kind, Pieces, put_before, to_tokenizer_json
from tandem_export.tokenizer.splits import WORD_SPLITS
from tandem_export.tokenizer.text import Text

_KEY = "tokenizer.ggml."
# Tokens that end a turn, whatever the file calls its end token; llama.cpp stops at them, too.
_END_TEXTS = ("<end_of_turn>", "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|endoftext|>")
_END_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")


def read_gguf_vocabulary(fields: Mapping[str, Any]) -> Text:
    """Tokenizer, end tokens and chat template from a GGUF file's metadata.

    Args:
      fields: key -> value, as Python values.

    Raises:
      CheckpointError: a kind of vocabulary that cannot be converted; the text lists those that can.
    """
    kind = fields.get(f"{_KEY}model")
    readers = {"llama": _scored, "gpt2": _byte_level}
    if kind not in readers:
        raise CheckpointError(f"`{_KEY}model` must be one of {sorted(readers)}. Got: {kind!r}")
    return Text(
        tokenizer_json=readers[kind](fields),
        end_tokens=_end_tokens(fields),
        chat_template=fields.get("tokenizer.chat_template"),
    )


def _begin(fields: Mapping[str, Any], default: bool) -> int | None:
    on = fields.get(f"{_KEY}add_bos_token", default)
    return fields.get(f"{_KEY}bos_token_id") if on else None


def _end_tokens(fields: Mapping[str, Any]) -> tuple[int, ...]:
    named = [fields[_KEY + key] for key in _END_KEYS if _KEY + key in fields]
    ids = {text: token for token, text in enumerate(fields[f"{_KEY}tokens"])}
    kinds = fields[f"{_KEY}token_type"]
    turns = [ids[text] for text in _END_TEXTS if text in ids]
    turns = [token for token in turns if kinds[token] in (Kind.CONTROL, Kind.USER_DEFINED)]
    return tuple(dict.fromkeys([*named, *turns]))


def _scored(fields: Mapping[str, Any]) -> str:
    """A SentencePiece vocabulary."""
    return to_tokenizer_json(
        Pieces(
            texts=fields[f"{_KEY}tokens"],
            scores=fields[f"{_KEY}scores"],
            kinds=fields[f"{_KEY}token_type"],
            space_prefix=fields.get(f"{_KEY}add_space_prefix", True),
            unknown=fields.get(f"{_KEY}unknown_token_id"),
            begin=_begin(fields, True),
        )
    )


def _byte_level(fields: Mapping[str, Any]) -> str:
    """A byte-level BPE with its merges."""
    name = fields.get(f"{_KEY}pre")
    if name not in WORD_SPLITS:
        raise CheckpointError(f"`{_KEY}pre` must be one of {sorted(WORD_SPLITS)}. Got: {name!r}")
    split = WORD_SPLITS[name]
    tokens, kinds = fields[f"{_KEY}tokens"], fields[f"{_KEY}token_type"]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={text: token for token, text in enumerate(tokens)},
            merges=[_pair(line) for line in fields[f"{_KEY}merges"]],
            ignore_merges=split.whole_words,
        )
    )
    if split.composed:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(each), "isolated") for each in split.patterns),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(_added(tokens, kinds))
    put_before(tokenizer, _begin(fields, split.begins))
    return tokenizer.to_str()


def _pair(line: str) -> tuple[str, str]:
    left, right = line.split(" ")
    return left, right


def _added(tokens: Sequence[str], kinds: Sequence[int]) -> list[AddedToken]:
    return [
        AddedToken(text, special=kind == Kind.CONTROL, normalized=False)
        for text, kind in zip(tokens, kinds, strict=True)
        if kind in (Kind.CONTROL, Kind.USER_DEFINED)
    ]
