"""Reads protobuf messages by field number, without the classes of whoever defined them.

A parser merges what is set twice, and skips what it does not know. So this reader gives every
value that a field has, and a check that wants to be sure looks at all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from tandem_export.bundle.vetting.reading import Malformed, Reader

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_LONGEST = 10


class Message:
    """The fields of one message, in the order of the wire.

    Attributes:
      numbers: field -> its varints.
      pieces: field -> its strings, bytes, messages and packed lists.
    """

    def __init__(self, data: bytes) -> None:
        """Reads one level; what is inside a piece is read when it is asked for.

        Raises:
          Malformed: not a message.
        """
        self.numbers: dict[int, list[int]] = {}
        self.pieces: dict[int, list[bytes]] = {}
        source = Reader(data)
        while source.left:
            field, kind = divmod(_varint(source), 8)
            if kind == _VARINT:
                self.numbers.setdefault(field, []).append(_varint(source))
            elif kind == _LENGTH:
                self.pieces.setdefault(field, []).append(source.take(_varint(source)))
            elif kind in (_FIXED64, _FIXED32):
                source.skip(8 if kind == _FIXED64 else 4)
            else:
                raise Malformed(f"field {field} must not be of wire type {kind}")

    def texts(self, field: int) -> list[str]:
        """Returns every string of a field."""
        return [piece.decode("utf-8", "backslashreplace") for piece in self.pieces.get(field, [])]

    def text(self, field: int) -> str:
        """Returns the string of a field, empty if it is not set.

        Raises:
          Malformed: it is set more than once.
        """
        texts = self.texts(field)
        if len(texts) > 1:
            raise Malformed(f"field {field} must be set once. Got: {texts[:3]}")
        return texts[0] if texts else ""

    def messages(self, *path: int) -> Iterator[Message]:
        """Yields every message at the end of a path of fields."""
        field, *rest = path
        for piece in self.pieces.get(field, []):
            message = Message(piece)
            yield from message.messages(*rest) if rest else (message,)


def _varint(source: Reader) -> int:
    value = 0
    for place in range(_LONGEST):
        byte = source.byte()
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value
    raise Malformed(f"a number must end within {_LONGEST} bytes, at byte {source.at}")
