"""Files of `torch.save`, read without torch; `torch_files.py` wrote them, or they are made here."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tandem_export.errors import CheckpointError
from tandem_export.importing.foreign.torch_file import read_torch

FILES = Path(__file__).parents[1] / "torch_files"


def values(path: Path) -> dict[str, np.ndarray]:
    return {name: np.asarray(tensor) for name, tensor in read_torch(path).items()}


@pytest.mark.parametrize("protocol", [2, 4])
def test_every_kind_of_tensor(protocol: int) -> None:
    found = values(FILES / f"every_kind_{protocol}.pt")
    assert {name: (array.tolist(), str(array.dtype)) for name, array in found.items()} == {
        "model.weight": ([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], "float32"),
        "model.bias": ([6.0, 7.0], "float32"),
        "parameter": ([[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]], "float32"),
        "part": ([[4.0, 6.0], [8.0, 10.0]], "float32"),
        "half": ([1.5], "float32"),
        "double": ([2.5], "float32"),
        "brain": ([3.5], "bfloat16"),
        "ids": ([1, -2], "int32"),
        "scalar": (4.0, "float32"),
        "list.0": ([0.0], "float32"),
        "list.1.0": ([1.0], "float32"),
    }


def test_nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's pickle calls `open("written", "w")`."""
    monkeypatch.chdir(tmp_path)
    message = r"is code that reading would run\. Got: `\w+\.open`\. Save the weights alone"
    with pytest.raises(CheckpointError, match=message):
        read_torch(FILES / "evil.pt")
    assert not (tmp_path / "written").exists()


def archive(path: Path, description: bytes, data: bytes = b"\0" * 8, method: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("x/data.pkl", description)
        file.writestr("x/data/0", data)
    return path


def tensor(size: int, offset: int, shape: tuple, stride: tuple, kind: str = "Float") -> bytes:
    """The pickle of one tensor over 8 bytes, as torch writes it."""

    def numbers(*values: int) -> bytes:
        return b"".join(pickle.dumps(v, 2)[2:-1] for v in values)

    names = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
    storage = names + kind.encode() + b"Storage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    axes = (b"(" + numbers(*shape) + b"t", b"(" + numbers(*stride) + b"t")
    return (
        b"\x80\x02}X\x01\x00\x00\x00a" + storage + numbers(size) + b"tQ" + numbers(offset)
        + axes[0] + axes[1] + b"\x89NtRs."
    )  # fmt: skip


def test_the_hand_made_file_reads(tmp_path: Path) -> None:
    assert values(archive(tmp_path / "x.pt", tensor(2, 0, (2,), (1,))))["a"].tolist() == [0, 0]


HUGE = 2**62
HOSTILE = {
    "past its storage": (tensor(2, 1, (2,), (1,)), r"within the 2 values"),
    "past the file": (tensor(9, 0, (9,), (1,)), r"must hold 9 values of float32"),
    "huge": (tensor(2, 0, (0, HUGE, HUGE), (1, 1, 1)), r"no shape of an array"),
    "negative": (tensor(2, 0, (2,), (-1,)), r"of a negative size"),
    "another dtype": (tensor(2, 0, (2,), (1,), "ComplexFloat"), r"Got: ComplexFloatStorage"),
    "cut": (tensor(2, 0, (2,), (1,))[:-3], r"pickle is damaged"),
    "empty": (b"", r"pickle is damaged"),
    "no stack": (b"\x80\x02a.", r"pickle is damaged"),
    "memo": (b"\x80\x02h\x07.", r"pickle is damaged"),
    "huge text": (b"\x80\x04\x8d" + b"\xff" * 7 + b"\x0f.", r"pickle is damaged"),
    "instance": (b"\x80\x02(ios\nsystem\n.", r"has an operation that no dict of tensors needs"),
    "name": (b"\x80\x02cos\nsystem\n.", r"Got: `os\.system`"),
    "deep": (b"\x80\x02" + b"(" * 40 + b"K\x01" + b"t" * 40 + b".", r"dicts of depth 32"),
    "bomb": (
        b"\x80\x02(]q\x00"
        + b"".join(b"]q%c(" % (i + 1) + b"h%c" % i * 9 + b"e" for i in range(8))
        + b"t.",
        r"may hold 1048576 values",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_one_error(tmp_path: Path, name: str) -> None:
    description, message = HOSTILE[name]
    with pytest.raises(CheckpointError, match=message):
        values(archive(tmp_path / "x.pt", description))


def test_compressed_values_and_other_forms_are_refused(tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.pt", tensor(2, 0, (2,), (1,)), method=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="not compressed"):
        values(packed)
    with pytest.raises(CheckpointError, match=r"has a record `data\.pkl`"):
        with zipfile.ZipFile(tmp_path / "b.pt", "w") as file:
            file.writestr("x", "y")
        values(tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match=r"torch before 1\.6 wrote another form"):
        values(FILES / "old.pt")
