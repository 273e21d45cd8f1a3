"""SentencePiece's scored pieces as a BPE of the `tokenizers` library that splits text alike.

SentencePiece merges, of all neighbours whose union is a piece, the pair of the best-scored piece,
the leftmost of equals (Kudo and Richardson 2018, and llama.cpp's `llm_tokenizer_spm`). BPE merges
the pair that stands first in its list. So the list is every split of every piece, in the order of
the pieces' scores. The two part where two pairs of the *same* piece overlap, which takes a piece
that begins and ends alike: SentencePiece takes the leftmost, BPE the one listed first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

from tandem_export.errors import CheckpointError

SPACE = "\u2581"  # stands for a space inside pieces
LONGEST = 1024  # characters of a token; every split of a piece is tried


class Kind(IntEnum):
    """Of a piece; the numbers of SentencePiece and of GGUF."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """A SentencePiece vocabulary; a piece's place is its id.

    Attributes:
      texts, scores, kinds: of each piece. Text of a user-defined piece has real spaces.
      space_prefix: a space is put before a text.
      unknown: the id for what no piece covers, where there are no byte pieces.
      begin: the id put before a text, or None.
    """

    texts: Sequence[str]
    scores: Sequence[float]
    kinds: Sequence[int]
    space_prefix: bool
    unknown: int | None
    begin: int | None


def to_tokenizer_json(pieces: Pieces) -> str:
    """Returns the vocabulary as `tokenizer.json`, ids as they are.

    Raises:
      CheckpointError: as `check_texts`.
    """
    check_texts(pieces.texts)
    ids = {text: token for token, text in enumerate(pieces.texts)}
    model = models.BPE(
        vocab=ids,
        merges=_merges(pieces),
        unk_token=None if pieces.unknown is None else pieces.texts[pieces.unknown],
        fuse_unk=True,
        byte_fallback=Kind.BYTE in pieces.kinds,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = _normalizer(pieces)
    tokenizer.decoder = _decoder(pieces)
    tokenizer.add_tokens(_added(pieces))
    put_before(tokenizer, pieces.begin)
    return tokenizer.to_str()


def put_before(tokenizer: Tokenizer, begin: int | None) -> None:
    """Makes `tokenizer` put the token `begin` before every text."""
    if begin is None:
        return
    text = tokenizer.id_to_token(begin)
    try:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[text, "$A"], pair=[text, "$A", text, "$B"], special_tokens=[(text, begin)]
        )
    except ValueError as error:  # such as a text that is itself a template's
        raise CheckpointError(f"token {begin}, {text!r}, cannot begin a text: {error}") from error


def check_texts(texts: Sequence[str]) -> None:
    """Checks that a vocabulary can be looked up by text.

    Raises:
      CheckpointError: no token, a text twice, or one that is too long.
    """
    if not texts:
        raise CheckpointError("a vocabulary must have at least one token. Got: none")
    if len(set(texts)) != len(texts):
        seen: set[str] = set()
        twice = next(text for text in texts if text in seen or seen.add(text))
        raise CheckpointError(f"a vocabulary must not have one text twice. Got: {twice[:80]!r}")
    longest = max(texts, key=len)
    if len(longest) > LONGEST:
        raise CheckpointError(
            f"a token must have at most {LONGEST} characters. Got: {len(longest)}, which begin "
            f"with {longest[:80]!r}"
        )


def _merges(pieces: Pieces) -> list[tuple[str, str]]:
    """Returns every split of a piece into two, best-scored first; unused pieces are left out."""
    scored = {
        text: score
        for text, score, kind in zip(pieces.texts, pieces.scores, pieces.kinds, strict=True)
        if kind == Kind.NORMAL
    }
    ordered = sorted(scored, key=lambda text: -scored[text])
    return [
        (text[:at], text[at:])
        for text in ordered
        for at in range(len(text) - 1, 0, -1)
        if text[:at] in scored and text[at:] in scored
    ]


def _normalizer(pieces: Pieces) -> normalizers.Normalizer:
    spaces = normalizers.Replace(" ", SPACE)
    if not pieces.space_prefix:
        return spaces
    return normalizers.Sequence([normalizers.Prepend(SPACE), spaces])


def _decoder(pieces: Pieces) -> decoders.Decoder:
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if pieces.space_prefix:
        steps.append(decoders.Strip(" ", 1, 0))
    return decoders.Sequence(steps)


def _added(pieces: Pieces) -> list[AddedToken]:
    """Returns what is found before the text is split: control (special) and user-defined pieces."""
    special = {Kind.CONTROL: True, Kind.UNKNOWN: True, Kind.USER_DEFINED: False}
    return [
        AddedToken(text, special=special[Kind(kind)], normalized=False)
        for text, kind in zip(pieces.texts, pieces.kinds, strict=True)
        if kind in special
    ]
