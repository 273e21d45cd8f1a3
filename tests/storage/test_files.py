from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tandem_export.errors import BundleError, CheckpointError
from tandem_export.storage import open_regular, read_bytes, read_text


def test_reads_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("é\r\n".encode())
    (tmp_path / "link").symlink_to(file)
    assert read_text(file, error=CheckpointError) == "é\r\n"
    assert read_bytes(tmp_path / "link", limit=4, error=CheckpointError) == "é\r\n".encode()


def test_one_byte_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"12345")
    with pytest.raises(BundleError, match=r"^`a.bin`: must have at most 4 bytes. Got: more$"):
        read_bytes(tmp_path / "a.bin", limit=4, error=BundleError)


@pytest.mark.parametrize("kind", ["fifo", "folder", "socket", "device"])
def test_what_is_no_regular_file_is_never_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd"
    server = socket.socket(socket.AF_UNIX)
    {
        "fifo": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "socket": lambda: server.bind(str(path)),
        "device": lambda: path.symlink_to("/dev/zero"),
    }[kind]()
    rule = "^`odd`: (must be a regular file. Got: a folder, a FIFO|the file cannot be read)"
    with server, pytest.raises(CheckpointError, match=rule):
        read_bytes(path, limit=10, error=CheckpointError)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    rule = "^`no.txt`: the file cannot be read. Got: No such file or directory$"
    with (
        pytest.raises(CheckpointError, match=rule),
        open_regular(tmp_path / "no.txt", error=CheckpointError),
    ):
        pass


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match=r"^`a.txt`: not UTF-8 text: "):
        read_text(tmp_path / "a.txt", error=CheckpointError)


def test_a_git_lfs_pointer_says_what_to_do(tmp_path: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    (tmp_path / "model.safetensors").write_text(text)
    rule = "^`model.safetensors`: must be the file itself. Got: a pointer of Git LFS. Run `git lfs"
    with pytest.raises(CheckpointError, match=rule):
        read_bytes(tmp_path / "model.safetensors", limit=1000, error=CheckpointError)
