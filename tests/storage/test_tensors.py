from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tandem_export.errors import CheckpointError
from tandem_export.storage import locate_tensors, map_tensors


def file_of(path: Path, header: bytes, data: bytes = b"12345678") -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def entry(**changes: object) -> bytes:
    values = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes
    return json.dumps({"x": values}).encode()


TWO = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],'
ODD = {
    "no header": (b"", "Expecting value"),
    "cut": (b"{", "not a JSON document"),
    "list": (b"[]", "the header must be a JSON object"),
    "twice": (b'{"x":1,"x":2}', "the name 'x' occurs 2 times"),
    "no object": (b'{"x":1}', "must have `dtype`, `shape` and two"),
    "past the end": (entry(shape=[4], data_offsets=[0, 16]), "must end where the file does, at"),
    "short of the end": (entry(shape=[1], data_offsets=[0, 4]), "must end where the file does"),
    "negative": (entry(data_offsets=[-8, 8]), "of whole numbers of at least 0"),
    "negative shape": (entry(shape=[-1, -2]), "of whole numbers of at least 0"),
    "float": (entry(data_offsets=[0.0, 8.0]), "of whole numbers of at least 0"),
    "true": (entry(shape=[True, 2]), "of whole numbers of at least 0"),
    "text": (entry(shape=["2"]), "of whole numbers of at least 0"),
    "three offsets": (entry(data_offsets=[0, 4, 8]), "two `data_offsets`"),
    "wrong shape": (entry(shape=[3]), "tensor 'x' of shape [3] in F32 cannot lie at bytes 0 .. 8"),
    "huge": (entry(shape=[2**64]), "tensor 'x' must have a shape that fits memory"),
    "huge and empty": (
        entry(shape=[0, 2**62], data_offsets=[0, 0]),
        "tensor 'x' must have a shape that fits memory",
    ),
    "rank": (entry(shape=[1] * 40 + [2]), "tensor 'x' must have a shape that fits memory"),
    "dtype": (entry(dtype="F99"), "tensor 'x' must be one of F32, BF16"),
    "no dtype": (entry(dtype=None), "must have `dtype`"),
    "overlap": (TWO + b'"data_offsets":[0,4]}}', "tensor 'y' must begin at byte"),
    "gap": (TWO + b'"data_offsets":[5,8]}}', "tensor 'y'"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_headers_are_refused(tmp_path: Path, name: str) -> None:
    header, rule = ODD[name]
    path = file_of(tmp_path / "w", header)
    for read in (locate_tensors, map_tensors):
        with pytest.raises(CheckpointError) as caught:
            read(path, error=CheckpointError)
        assert str(caught.value).startswith(("`w`: not a whole", "`w, header`: not a JSON"))
        assert rule in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"123", b"\xff" * 8, (2**40).to_bytes(8, "little") + b"{}"])
def test_an_odd_length_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "w").write_bytes(data)
    with pytest.raises(CheckpointError, match="its first 8 bytes must give a header's length"):
        map_tensors(tmp_path / "w", error=CheckpointError)


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CheckpointError, match="a pointer of Git LFS"):
        map_tensors(tmp_path / "w", error=CheckpointError)


SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)
DTYPES = st.sampled_from(["float32", "float16", "int8", "int64", "uint16", "bool"])


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=5), st.tuples(DTYPES, SHAPES), min_size=1, max_size=5))
def test_whatever_the_library_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, kinds: dict[str, tuple[str, tuple[int, ...]]]
) -> None:
    path = tmp_path_factory.mktemp("made") / "w"
    tensors = {
        name: np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
        for name, (dtype, shape) in kinds.items()
        if name != "__metadata__"
    }
    save_file(tensors, path, metadata={"format": "np"})
    read = map_tensors(path, error=CheckpointError)
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype and not read[name].flags.writeable
        np.testing.assert_array_equal(read[name], tensor)


@given(st.integers(0, 90), st.integers(1, 255))
def test_no_changed_byte_is_read_that_the_library_refuses(
    tmp_path_factory: pytest.TempPathFactory, at: int, change: int
) -> None:
    path = file_of(tmp_path_factory.mktemp("made") / "w", TWO + b'"data_offsets":[4,8]}}')
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= change
    path.write_bytes(data)
    try:
        map_tensors(path, error=CheckpointError)
    except CheckpointError:
        return
    try:
        with safe_open(path, framework="np"):
            pass
    except SafetensorError as error:
        raise AssertionError(bytes(data)) from error
