"""The sections of MLIR bytecode: strings, operation names, attributes, types, properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from tandem_export.bundle.vetting.reading import Malformed, Reader

T = TypeVar("T")
_MAGIC = b"ML\xefR"
_PRODUCER = b"StableHLO_v"
# From 5 on, what an operation is defined by is stored apart from what is noted on it.
_VERSIONS = (5, 6)
_PADDING = 0xCB
# Numbers of sections.
_STRINGS, _DIALECTS, _VALUES, _OFFSETS, _BODY, _RESOURCES, _PROPERTIES = 0, 1, 2, 3, 4, 5, 8
_DIALECT_VERSION = 7
_NAMES = ("builtin", "vhlo")
# Codes of VHLO's attributes and types.
_STRING, _TYPE = 14, 17
_FUNCTION, _RANKED_TENSOR = 8, 20
_DTYPES = {
    0: "bool", 2: "bfloat16", 3: "float16", 4: "float32", 5: "float64", 11: "int8", 12: "int16",
    13: "int32", 14: "int64", 16: "uint8", 17: "uint16", 18: "uint32", 19: "uint64",
}  # fmt: skip


class _Value(NamedTuple):
    """An attribute or a type: the dialect that wrote it, its bytes."""

    dialect: str
    start: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What operations refer to by number."""

    data: bytes
    strings: tuple[str, ...]
    operations: tuple[str, ...]
    attributes: tuple[_Value, ...]
    types: tuple[_Value, ...]
    properties: tuple[Reader, ...]

    def varint(self, source: Reader) -> int:
        """Returns the next number."""
        return varint(source)

    def count(self, source: Reader) -> int:
        """Returns the next number, of things that take at least one byte each."""
        return self.bounded(varint(source), source)

    def bounded(self, count: int, source: Reader) -> int:
        """Returns `count` if as many bytes follow: readers set memory aside for it."""
        if count > source.left:
            raise Malformed(f"{count} things must follow byte {source.at}. Got: {source.left}")
        return count

    def operation(self, index: int) -> str:
        """Returns the full name of an operation, such as `vhlo.add_v1`."""
        return _at(self.operations, index, "operation")

    def check_attribute(self, index: int) -> None:
        """Checks that there is such an attribute."""
        _at(self.attributes, index, "attribute")

    def check_type(self, index: int) -> None:
        """Checks that there is such a type."""
        _at(self.types, index, "type")

    def property(self, index: int) -> Reader:
        """Returns the properties with this number."""
        stored = _at(self.properties, index, "properties")
        return Reader(stored.data, stored.at, stored.end)

    def text(self, attribute: int) -> str:
        """Returns the value of a string attribute."""
        source = self._coded(_at(self.attributes, attribute, "attribute"), _STRING, "a string")
        return _at(self.strings, varint(source), "string")

    def function_type(self, attribute: int) -> tuple[list[int], list[int]]:
        """Returns the types of arguments and results that an attribute with a type names."""
        source = self._coded(_at(self.attributes, attribute, "attribute"), _TYPE, "a type")
        kind = _at(self.types, varint(source), "type")
        source = self._coded(kind, _FUNCTION, "a function")
        arguments = [varint(source) for _ in range(self.count(source))]
        return arguments, [varint(source) for _ in range(self.count(source))]

    def tensor_type(self, index: int) -> tuple[tuple[int, ...], str]:
        """Returns shape and dtype of an array's type."""
        source = self._coded(_at(self.types, index, "type"), _RANKED_TENSOR, "an array")
        shape = tuple(_signed(source) for _ in range(self.count(source)))
        element = _at(self.types, varint(source), "type")
        code = varint(Reader(self.data, element.start, element.start + element.size))
        if element.dialect != "vhlo" or code not in _DTYPES:
            raise Malformed(f"an array of elements of the unknown kind {code}")
        return shape, _DTYPES[code]

    def _coded(self, value: _Value, code: int, what: str) -> Reader:
        source = Reader(self.data, value.start, value.start + value.size)
        if value.dialect != "vhlo" or varint(source) != code:
            raise Malformed(f"byte {value.start} must be {what}")
        return source


def varint(source: Reader) -> int:
    """Returns MLIR's prefixed number: the zero bits of the first byte count the bytes to come."""
    first = source.byte()
    if first & 1:
        return first >> 1
    if first == 0:
        return int.from_bytes(source.take(8), "little")
    more = (first & -first).bit_length() - 1
    return int.from_bytes(bytes([first]) + source.take(more), "little") >> (more + 1)


def _signed(source: Reader) -> int:
    """Returns a number whose lowest bit is its sign."""
    value = varint(source)
    return (value >> 1) ^ -(value & 1)


def _at(table: Sequence[T], index: int, what: str) -> T:
    if index >= len(table):
        raise Malformed(f"{what} {index} must be one of {len(table)}")
    return table[index]


def section(source: Reader) -> tuple[int, Reader]:
    """Returns the next section: its number and what is in it."""
    head, size = source.byte(), varint(source)
    if head & 0x80:
        alignment = varint(source)
        if alignment not in (1, 2, 4, 8, 16, 32, 64):
            raise Malformed(f"a section must be aligned by a power of 2 up to 64. Got: {alignment}")
        while source.at % alignment:
            if source.byte() != _PADDING:
                raise Malformed(f"byte {source.at - 1} must be padding")
    return head & 0x7F, source.part(size)


def read_tables(data: bytes) -> tuple[Tables, Reader]:
    """Returns a module's tables, and its outermost block.

    Raises:
      Malformed: not bytecode of VHLO.
    """
    source = Reader(data)
    if data[:4] != _MAGIC:
        raise Malformed(f"a module must begin with {_MAGIC!r}. Got: {data[:4]!r}")
    source.skip(4)
    version = varint(source)
    if version not in _VERSIONS:
        raise Malformed(f"the bytecode's version must be one of {_VERSIONS}. Got: {version}")
    end = data.find(b"\0", source.at)
    producer = source.take(end + 1 - source.at if end >= 0 else source.left + 1)
    if not producer.startswith(_PRODUCER):
        raise Malformed(f"the producer must begin with {_PRODUCER!r}. Got: {producer[:16]!r}")
    sections: dict[int, Reader] = {}
    while source.left:
        number, content = section(source)
        if number in sections:
            raise Malformed(f"section {number} must come once")
        sections[number] = content
    needed = {_STRINGS, _DIALECTS, _VALUES, _OFFSETS, _BODY, _PROPERTIES}
    if not needed <= set(sections):
        raise Malformed(f"sections {sorted(needed)} must be there. Got: {sorted(sections)}")
    strings = _strings(sections[_STRINGS])
    dialects, operations = _dialects(sections[_DIALECTS], strings)
    attributes, types = _values(sections[_OFFSETS], sections[_VALUES], dialects)
    tables = Tables(
        data=data,
        strings=strings,
        operations=operations,
        attributes=attributes,
        types=types,
        properties=_property_list(sections[_PROPERTIES]),
    )
    return tables, sections[_BODY]


def _strings(source: Reader) -> tuple[str, ...]:
    """Returns the strings; their sizes come in reverse order, each with its closing zero."""
    count = varint(source)
    if count > source.left:
        raise Malformed(f"{count} strings must follow. Got: {source.left} bytes")
    sizes = [varint(source) for _ in range(count)][::-1]
    raw = [source.take(size) for size in sizes]
    source.finish()
    if any(not text.endswith(b"\0") for text in raw):
        raise Malformed("a string must end with a zero")
    return tuple(text[:-1].decode("utf-8", "backslashreplace") for text in raw)


def _dialects(source: Reader, strings: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
    names: list[str] = []
    for _ in range(varint(source)):
        index, versioned = divmod(varint(source), 2)
        names.append(_at(strings, index, "string"))
        if versioned and section(source)[0] != _DIALECT_VERSION:
            raise Malformed("a dialect's version must be a section of its own")
    if not set(names) <= set(_NAMES):
        raise Malformed(f"a module's dialects must be among {_NAMES}. Got: {names}")
    count = varint(source)
    operations: list[str] = []
    while source.left:
        dialect = _at(names, varint(source), "dialect")
        for _ in range(varint(source)):
            name = _at(strings, varint(source) >> 1, "string")
            operations.append(f"{dialect}.{name}")
    if count != len(operations):
        raise Malformed(f"{count} operations must be named. Got: {len(operations)}")
    return names, tuple(operations)


def _values(
    offsets: Reader, values: Reader, dialects: list[str]
) -> tuple[tuple[_Value, ...], tuple[_Value, ...]]:
    counts, at = (varint(offsets), varint(offsets)), values.at
    tables: list[tuple[_Value, ...]] = []
    for count in counts:
        table: list[_Value] = []
        while len(table) < count:
            dialect = _at(dialects, varint(offsets), "dialect")
            for _ in range(varint(offsets)):
                size, coded = divmod(varint(offsets), 2)
                if not coded:
                    raise Malformed("attributes and types must be encoded, not written as text")
                if at + size > values.end:
                    raise Malformed(f"{size} bytes must follow byte {at}. Got: {values.end - at}")
                table.append(_Value(dialect, at, size))
                at += size
        if len(table) != count:
            raise Malformed(f"{count} attributes or types must be listed. Got: {len(table)}")
        tables.append(tuple(table))
    offsets.finish()
    if at != values.end:
        raise Malformed(f"{values.end - at} bytes of attributes and types are in no list")
    return tables[0], tables[1]


def _property_list(source: Reader) -> tuple[Reader, ...]:
    pieces: list[Reader] = []
    for _ in range(varint(source)):
        pieces.append(source.part(varint(source)))
    source.finish()
    return tuple(pieces)
