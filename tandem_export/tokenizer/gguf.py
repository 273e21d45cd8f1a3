"""Reads the vocabulary of a GGUF file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

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
from tandem_export.storage import Fields
from tandem_export.tokenizer.pieces import Kind, Pieces, check_texts, put_before, to_tokenizer_json
from tandem_export.tokenizer.splits import WORD_SPLITS
from tandem_export.tokenizer.text import Text, with_special

# Tokens that end a turn, whatever the file calls its end token; llama.cpp stops at them, too.
_END_TEXTS = ("<end_of_turn>", "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|endoftext|>")
_END_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")
_NAMED = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}
# Where a SentencePiece vocabulary does not say (llama.cpp's `llama_vocab::impl::load`).
_SCORED_IDS = {"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}
_BYTE = re.compile("<0x[0-9A-F]{2}>")


@dataclass(frozen=True, kw_only=True)
class _Vocabulary:
    """The tokens of a file; a token's place is its id.

    Attributes:
      fields: the file's, under `tokenizer.ggml.`.
    """

    fields: Fields
    texts: Sequence[str]
    kinds: Sequence[int]

    def token(self, key: str) -> int | None:
        """Returns the id under `key`; one that is no token's is none, as in llama.cpp."""
        token = self.fields.integer(key, 0, 2**32 - 1)
        return token if token is not None and token < len(self.texts) else None

    def begin(self, default: bool) -> int | None:
        """Returns the id that goes before every text, or None."""
        on = self.fields.flag("add_bos_token")
        return self.token("bos_token_id") if (default if on is None else on) else None


def read_gguf_vocabulary(fields: Fields) -> Text:
    """Reads tokenizer, end tokens, special tokens and chat template from a GGUF file's metadata.

    Raises:
      CheckpointError: a kind of vocabulary that cannot be converted; the text lists those that can.
    """
    kind = fields.text("tokenizer.ggml.model")
    readers = {"llama": _scored, "gpt2": _byte_level}
    if kind not in readers:
        raise CheckpointError(
            f"`tokenizer.ggml.model` must be one of {sorted(readers)}. Got: {kind!r}"
        )
    vocabulary = _vocabulary(fields, _SCORED_IDS if kind == "llama" else {})
    named = {name: vocabulary.token(key) for name, key in _NAMED.items()}
    special = {name: vocabulary.texts[t] for name, t in named.items() if t is not None}
    return Text(
        tokenizer_json=readers[kind](vocabulary),
        end_tokens=_end_tokens(vocabulary),
        chat_template=with_special(fields.text("tokenizer.chat_template"), special),
        special=special,
    )


def _vocabulary(fields: Fields, ids: dict[str, int]) -> _Vocabulary:
    fields = fields.under("tokenizer.ggml.", ids)
    texts = fields.require("tokens", fields.texts("tokens"))
    # llama.cpp's name for a token without text.
    texts = [text or f"[EMPTY_{token}]" for token, text in enumerate(texts)]
    check_texts(texts)
    kinds = fields.numbers("token_type", "iu")
    plain = _Vocabulary(fields=fields, texts=texts, kinds=kinds or _plain_kinds(texts))
    if kinds is None:
        kinds = list(plain.kinds)
        for key in (*_END_KEYS, "bos_token_id", "unknown_token_id"):
            if (token := plain.token(key)) is not None:
                kinds[token] = Kind.UNKNOWN if key == "unknown_token_id" else Kind.CONTROL
    _check_length(fields, "token_type", kinds, texts)
    return _Vocabulary(fields=fields, texts=texts, kinds=kinds)


def _plain_kinds(texts: Sequence[str]) -> list[int]:
    return [Kind.BYTE if _BYTE.fullmatch(text) else Kind.NORMAL for text in texts]


def _check_length(fields: Fields, key: str, items: Sequence, texts: Sequence[str]) -> None:
    if len(items) != len(texts):
        raise CheckpointError(
            f"`{fields.prefix}{key}` must have one item for each of {len(texts)} tokens. "
            f"Got: {len(items)}"
        )


def _end_tokens(vocabulary: _Vocabulary) -> tuple[int, ...]:
    named = [token for key in _END_KEYS if (token := vocabulary.token(key)) is not None]
    ids = {text: token for token, text in enumerate(vocabulary.texts)}
    turns = [ids[text] for text in _END_TEXTS if text in ids]
    marked = (Kind.CONTROL, Kind.USER_DEFINED)
    turns = [token for token in turns if vocabulary.kinds[token] in marked]
    return tuple(dict.fromkeys([*named, *turns]))


def _scored(vocabulary: _Vocabulary) -> str:
    """Makes a SentencePiece vocabulary; without scores all are equal, the leftmost pair merges."""
    fields = vocabulary.fields
    scores = fields.numbers("scores", "iuf")
    scores = [0.0] * len(vocabulary.texts) if scores is None else scores
    _check_length(fields, "scores", scores, vocabulary.texts)
    prefix = fields.flag("add_space_prefix")
    return to_tokenizer_json(
        Pieces(
            texts=vocabulary.texts,
            scores=scores,
            kinds=vocabulary.kinds,
            space_prefix=True if prefix is None else prefix,
            unknown=vocabulary.token("unknown_token_id"),
            begin=vocabulary.begin(True),
        )
    )


def _byte_level(vocabulary: _Vocabulary) -> str:
    """Returns a byte-level BPE with its merges."""
    fields = vocabulary.fields
    name = fields.text("pre")
    if name not in WORD_SPLITS:
        raise CheckpointError(
            f"`{fields.prefix}pre` must be one of {sorted(WORD_SPLITS)}. Got: {name!r}"
        )
    split = WORD_SPLITS[name]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={text: token for token, text in enumerate(vocabulary.texts)},
            merges=_merges(vocabulary),
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
    tokenizer.add_tokens(_added(vocabulary))
    put_before(tokenizer, vocabulary.begin(split.begins))
    return tokenizer.to_str()


def _merges(vocabulary: _Vocabulary) -> list[tuple[str, str]]:
    """Returns the merges that make a token; llama.cpp never applies the others, either."""
    fields, known = vocabulary.fields, set(vocabulary.texts)
    lines = fields.require("merges", fields.texts("merges"))
    pairs = []
    for at, line in enumerate(lines):
        left, space, right = line.partition(" ")
        if not (space and left and right and {left, right, left + right} <= known):
            raise CheckpointError(
                f"`{fields.prefix}merges` must be two tokens each, with a space between them, that "
                f"are one token together. Got: item {at}, {line[:80]!r}"
            )
        pairs.append((left, right))
    return pairs


def _added(vocabulary: _Vocabulary) -> list[AddedToken]:
    return [
        AddedToken(text, special=kind == Kind.CONTROL, normalized=False)
        for text, kind in zip(vocabulary.texts, vocabulary.kinds, strict=True)
        if kind in (Kind.CONTROL, Kind.USER_DEFINED)
    ]
