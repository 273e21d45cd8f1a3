"""Reads a SentencePiece `tokenizer.model`."""

from __future__ import annotations

from pathlib import Path

from tandem_export.errors import CheckpointError
from tandem_export.tokenizer.pieces import SPACE, Kind, Pieces


def read_pieces(path: Path, *, add_begin: bool) -> Pieces:
    """The vocabulary of a BPE model; `add_begin`: its begin token goes before a text.

    Raises:
      CheckpointError: not a SentencePiece model, not BPE, or with a normalisation that is not the
        identity.
    """
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()  # pyright: ignore[reportAttributeAccessIssue]
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise CheckpointError(f"`{path.name}` is not a SentencePiece model: {error}") from error
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    _require(path, "model_type", trainer.model_type, trainer.BPE)
    _require(path, "precompiled_charsmap", len(normalizer.precompiled_charsmap), 0)
    _require(path, "remove_extra_whitespaces", normalizer.remove_extra_whitespaces, False)
    _require(path, "escape_whitespaces", normalizer.escape_whitespaces, True)
    _require(path, "treat_whitespace_as_suffix", trainer.treat_whitespace_as_suffix, False)
    return Pieces(
        texts=[_text(piece.piece, piece.type) for piece in model.pieces],
        scores=[piece.score for piece in model.pieces],
        kinds=[piece.type for piece in model.pieces],
        space_prefix=normalizer.add_dummy_prefix,
        unknown=trainer.unk_id,
        begin=trainer.bos_id if add_begin and trainer.bos_id >= 0 else None,
    )


def _text(piece: str, kind: int) -> str:
    # A user-defined piece is looked for in the text as it came, where spaces are spaces.
    return piece.replace(SPACE, " ") if kind == Kind.USER_DEFINED else piece


def _require(path: Path, name: str, got: object, want: object) -> None:
    if got != want:
        raise CheckpointError(
            f"`{path.name}`: only BPE models with identity normalisation can be read: "
            f"`{name}` must be {want!r}. Got: {got!r}"
        )
