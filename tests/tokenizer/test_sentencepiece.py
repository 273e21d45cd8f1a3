"""Converted SentencePiece models split text as the library itself does, and as llama.cpp does."""

from __future__ import annotations

import io
import random
import tempfile
from functools import cache
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import Tokenizer

from tandem_export.errors import CheckpointError
from tandem_export.runtime.request.text import TextStream
from tandem_export.tokenizer.pieces import Kind, Pieces, to_tokenizer_json
from tandem_export.tokenizer.sentencepiece import read_pieces
from tests.tokenizer import llama_cpp
from tests.tokenizer.samples import AWKWARD, MULTILINGUAL

# Llama 2 and Mistral put a space before a text; Gemma does not, and has pieces of its own.
PREFIX = {"llama": True, "gemma": False}


def train(**changed) -> bytes:
    out = io.BytesIO()
    options = {
        "vocab_size": 900,
        "model_type": "bpe",
        "character_coverage": 0.98,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
        "max_sentence_length": 10_000,
        "minloglevel": 3,
    }
    text = iter([*MULTILINGUAL, *(line for line in AWKWARD if line.strip())] * 3)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=text, model_writer=out, **options | changed
    )
    return out.getvalue()


@cache
def model(kind: str) -> bytes:
    own = {"user_defined_symbols": ["\u2581\u2581", "<start>"]} if kind == "gemma" else {}
    return train(add_dummy_prefix=PREFIX[kind], **own)


@cache
def converted(kind: str) -> Tokenizer:
    return Tokenizer.from_str(to_tokenizer_json(pieces(kind)))


@cache
def pieces(kind: str) -> Pieces:
    return read(model(kind))


def read(data: bytes) -> Pieces:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.model")
        path.write_bytes(data)
        return read_pieces(path, add_begin=True)


def texts(kind: str) -> list[str]:
    """Samples, runs of one character, and random strings of pieces and characters."""
    rng = random.Random(0)
    known = [text.replace("\u2581", " ") for text in pieces(kind).texts[260:]]
    runs = [f"x{c * n}y" for c in "a=. \n你" for n in range(1, 24)]
    drawn = ["".join(rng.choices(known, k=rng.randint(1, 8))) for _ in range(300)]
    mixed = ["".join(rng.choices("ab =.\nаб你é🙂", k=rng.randint(1, 30))) for _ in range(300)]  # noqa: RUF001
    return [*MULTILINGUAL, *AWKWARD, *runs, *drawn, *mixed]


@pytest.mark.parametrize("kind", PREFIX)
def test_ids_are_those_of_sentencepiece(kind: str) -> None:
    own = sentencepiece.SentencePieceProcessor(model_proto=model(kind))
    ours = converted(kind)
    for token in range(own.get_piece_size()):
        want = own.id_to_piece(token)
        assert ours.token_to_id(want.replace("\u2581", " ")) == token or (
            ours.token_to_id(want) == token
        )
    # A text that names a control piece: SentencePiece reads it as text, the others as the piece.
    plain = [text for text in texts(kind) if "<s>" not in text]
    for text in plain:
        assert ours.encode(text, add_special_tokens=False).ids == own.encode(text), repr(text)


@pytest.mark.parametrize("kind", PREFIX)
def test_ids_are_those_of_llama_cpp(kind: str) -> None:
    own = pieces(kind)
    ids = {text: token for token, text in enumerate(own.texts)}
    cut = (Kind.CONTROL, Kind.UNKNOWN, Kind.USER_DEFINED)
    special = {text: token for text, token in ids.items() if own.kinds[token] in cut}
    for text in texts(kind):
        want = llama_cpp.encode(text, ids, own.scores, special, prefix=own.space_prefix)
        assert converted(kind).encode(text, add_special_tokens=False).ids == want, repr(text)


@pytest.mark.parametrize("kind", PREFIX)
def test_text_comes_back_whole_and_in_whole_characters(kind: str) -> None:
    tokenizer = converted(kind)
    for text in (*MULTILINGUAL, *AWKWARD[:-1]):
        tokens = tokenizer.encode(text).ids
        assert tokens[0] == 1  # the begin token
        stream = TextStream(tokenizer)
        deltas = []
        for token in tokens:
            stream.push(token)
            deltas.append(stream.take())
        stream.finish()
        assert stream.text == text
        assert not any("\N{REPLACEMENT CHARACTER}" in delta for delta in deltas)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model_type": "unigram", "vocab_size": 620}, "`model_type` must be 2. Got: 1"),
        ({"remove_extra_whitespaces": True}, "`remove_extra_whitespaces` must be False. Got: True"),
        ({"normalization_rule_name": "nmt_nfkc"}, "`precompiled_charsmap` must be 0. Got:"),
    ],
    ids=["unigram", "whitespace", "normalisation"],
)
def test_other_models_are_refused(changed: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match="only BPE models with identity") as raised:
        read(train(**changed))
    assert message in str(raised.value)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(b"\xff" * 9)
    with pytest.raises(CheckpointError, match=r"`tokenizer\.model` is not a SentencePiece model"):
        read_pieces(path, add_begin=True)


def test_a_text_twice_is_refused() -> None:
    twice = Pieces(
        texts=["a", "a"], scores=[0, 0], kinds=[1, 1], space_prefix=False, unknown=None, begin=None
    )
    with pytest.raises(CheckpointError, match=r"one text twice\. Got: 'a'"):
        to_tokenizer_json(twice)


def test_an_id_beyond_the_pieces_is_refused(tmp_path: Path) -> None:
    from sentencepiece import sentencepiece_model_pb2

    for name in ("unk_id", "bos_id"):
        proto = sentencepiece_model_pb2.ModelProto()  # pyright: ignore[reportAttributeAccessIssue]
        proto.ParseFromString(model("llama"))
        setattr(proto.trainer_spec, name, 900)
        with pytest.raises(CheckpointError, match=f"`{name}` must be one of 900 pieces. Got: 900"):
            read(proto.SerializeToString())


def test_damage_is_an_error_of_ours() -> None:
    loaded = 0
    for seed in range(300):
        draw, data = random.Random(seed), bytearray(model("gemma"))
        for _ in range(draw.choice((1, 2, 8))):
            data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            to_tokenizer_json(read(bytes(data)))
            loaded += 1
        except CheckpointError:
            pass
    assert 0 < loaded < 300
