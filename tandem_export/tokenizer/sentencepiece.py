"""Reads a SentencePiece `tokenizer.model`."""

from __future__ import annotations

from pathlib import Path

from tandem_export.errors import CheckpointError
from tandem_export.storage import read_bytes
from tandem_export.tokenizer.pieces import SPACE, Kind, Pieces

# The largest in use, of 262,144 pieces, has 4.7 MB.
_LIMIT = 2**26


def read_pieces(path: Path, *, add_begin: bool) -> Pieces:
    """Returns the vocabulary of a BPE model; `add_begin`: its begin token goes before a text.

    Raises:
      CheckpointError: not a SentencePiece model, not BPE, or with a normalisation that is not the
        identity.
    """
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()  # pyright: ignore[reportAttributeAccessIssue]
    try:
        model.ParseFromString(read_bytes(path, limit=_LIMIT, error=CheckpointError))
    except (DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"`{path.name}` is not a SentencePiece model: {error}") from error
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    _require(path, "model_type", trainer.model_type, trainer.BPE)
    _require(path, "precompiled_charsmap", len(normalizer.precompiled_charsmap), 0)
    _require(path, "remove_extra_whitespaces", normalizer.remove_extra_whitespaces, False)
    _require(path, "escape_whitespaces", normalizer.escape_whitespaces, True)
    _require(path, "treat_whitespace_as_suffix", trainer.treat_whitespace_as_suffix, False)
    count = len(model.pieces)
    begin = _token(path, "bos_id", trainer.bos_id, count) if add_begin else None
    return Pieces(
        texts=[_text(path, piece.piece, piece.type) for piece in model.pieces],
        scores=[piece.score for piece in model.pieces],
        kinds=[piece.type for piece in model.pieces],
        space_prefix=normalizer.add_dummy_prefix,
        unknown=_token(path, "unk_id", trainer.unk_id, count),
        begin=begin,
    )


def _token(path: Path, name: str, token: int, count: int) -> int | None:
    """Returns an id of the trainer's; below 0 there is none."""
    if token >= count:
        raise CheckpointError(
            f"`{path.name}`: `{name}` must be one of {count} pieces. Got: {token}"
        )
    return token if token >= 0 else None


def _text(path: Path, piece: object, kind: int) -> str:
    if not isinstance(piece, str):  # protobuf gives what is not UTF-8 as bytes
        raise CheckpointError(f"`{path.name}`: a piece must be UTF-8 text. Got: {piece!r:.60}")
    # A user-defined piece is looked for in the text as it came, where spaces are spaces.
    return piece.replace(SPACE, " ") if kind == Kind.USER_DEFINED else piece


def _require(path: Path, name: str, got: object, want: object) -> None:
    if got != want:
        raise CheckpointError(
            f"`{path.name}`: only BPE models with identity normalisation can be read: "
            f"`{name}` must be {want!r}. Got: {got!r}"
        )
