"""The header of a GGUF file, from bytes laid out by hand; other bytes are one error."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from tandem_export.errors import CheckpointError
from tandem_export.storage import GgufHeader, TensorRecord, read_gguf_header

U8, U32, F32, BOOL, STRING, ARRAY, U64 = 0, 4, 6, 7, 8, 9, 10


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return u64(len(raw)) + raw


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + u32(kind) + value


def array(name: str, kind: int, count: int, items: bytes) -> bytes:
    return key(name, ARRAY, u32(kind) + u64(count) + items)


def tensor(name: str, *axes: int, kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + u32(len(axes)) + b"".join(map(u64, axes)) + u32(kind) + u64(offset)


def whole(keys: list[bytes], tensors: list[bytes] | None = None, version: int = 3) -> bytes:
    records = tensors or []
    counts = u64(len(records)) + u64(len(keys))
    return b"GGUF" + u32(version) + counts + b"".join(keys) + b"".join(records)


KEYS = [
    key("a.number", U32, u32(7)),
    key("a.float", F32, struct.pack("<f", 1e-6)),
    key("a.flag", BOOL, b"\1"),
    key("a.text", STRING, text("é")),
    key("a.large", U64, u64(2**63)),
    array("a.texts", STRING, 2, text("x") + text("")),
    array("a.bytes", U8, 3, b"\1\2\3"),
]


def read(folder: Path, data: bytes) -> GgufHeader:
    (folder / "x.gguf").write_bytes(data)
    return read_gguf_header(folder / "x.gguf", error=CheckpointError)


@pytest.mark.parametrize("version", [2, 3])
def test_values_and_records(version: int, tmp_path: Path) -> None:
    records = [tensor("t", 3, 2), tensor("u", 4, kind=8, offset=64)]
    data = whole([*KEYS, key("general.alignment", U32, u32(64))], records, version)
    header = read(tmp_path, data + bytes(300))
    fields = dict(header.fields)
    np.testing.assert_array_equal(fields.pop("a.bytes"), [1, 2, 3])
    assert fields == {
        "a.number": 7,
        "a.float": 1e-6,  # the shortest decimal of the float32
        "a.flag": True,
        "a.text": "é",
        "a.large": 2**63,
        "a.texts": ["x", ""],
        "general.alignment": 64,
    }
    start = -(-len(data) // 64) * 64
    assert header.tensors == (
        TensorRecord(name="t", shape=(2, 3), kind=0, start=start),
        TensorRecord(name="u", shape=(4,), kind=8, start=start + 64),
    )


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = whole(KEYS, [tensor("t", 3, 2)])
    for size in range(len(data)):
        with pytest.raises(CheckpointError, match=r"`x\.gguf`: "):
            read(tmp_path, data[:size])
    assert read(tmp_path, data).tensors[0].name == "t"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a GGUF file, which begins with GGUF. Got: b''"),
        (b"no model" * 9, "not a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"GGUF" + struct.pack(">I", 3), "big-endian. Run `gguf-convert-endian FILE little`"),
        (whole([], version=1), r"the version must be one of (2, 3). Got: 1"),
        (b"GGUF" + u32(3) + u64(2**40) + u64(0), "the number of tensors must be at most 0. Got: "),
        (b"GGUF" + u32(3) + u64(0) + u64(2**63), "the number of keys must be at most 0. Got: "),
        (whole([array("a", U8, 2**40, b"")]), "the length of `a` must be at most 0. Got: 10995"),
        (whole([array("a", STRING, 2**40, b"")]), "the length of `a` must be at most 0. Got: "),
        (whole([array("a", ARRAY, 1, u32(ARRAY) + u64(1))]), "an item of `a` must be a number"),
        (whole([key("a", 13, u64(0))]), "`a` must be a number, a bool, a text, or a list of them"),
        (whole([key("a", STRING, u64(2**62))]), "the length of `a` must be at most 0. Got: "),
        (whole([key("a", STRING, text(b"\xff"))]), "`a` at byte 45 is not UTF-8"),
        (whole([text(b"\xff") + u64(0) * 2]), "the name of a key at byte 32 is not UTF-8"),
        (whole([KEYS[0], KEYS[0]]), "a key must not occur twice. Got: `a.number`"),
        (whole([], [tensor("t", 1)] * 2), "a tensor must not occur twice. Got: `t`"),
        (whole([], [tensor("t") + bytes(9)]), "`t` must have 1 to 4 axes. Got: 0"),
        (whole([], [tensor("t", 1, 1, 1, 1, 1)]), "`t` must have 1 to 4 axes. Got: 5"),
        (whole([], [tensor("t", 0)]), "each axis of `t` must lie in 1 .. 2**40 - 1. Got: [0]"),
        (whole([], [tensor("t", 2**40)]), "each axis of `t` must lie in 1 .. 2**40 - 1"),
        (whole([key("general.alignment", U32, u32(0))]), "must be a power of two. Got: 0"),
        (whole([key("general.alignment", U32, u32(48))]), "must be a power of two. Got: 48"),
        (whole([key("general.alignment", STRING, text("8"))]), "a power of two. Got: '8'"),
    ],
)
def test_what_is_no_header_is_named(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"`x\.gguf`: ") as raised:
        read(tmp_path, data)
    assert message in str(raised.value)


def test_a_long_list_is_refused_even_where_its_bytes_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tandem_export.storage.gguf.ITEMS", 2)
    with pytest.raises(CheckpointError, match=r"the length of `a\.bytes` must be at most 2"):
        read(tmp_path, whole(KEYS))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.gguf")
    with pytest.raises(CheckpointError, match="must be a regular file"):
        read_gguf_header(tmp_path / "x.gguf", error=CheckpointError)
