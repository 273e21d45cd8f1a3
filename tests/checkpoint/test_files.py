"""Hashes of files and folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tandem_export.checkpoint.files import describe


def test_a_folder_is_hashed_by_its_listing(tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "z").write_bytes(b"one")
    (tmp_path / "a" / "b" / "c").write_bytes(b"four")
    one, four = (hashlib.sha256(data).hexdigest() for data in (b"one", b"four"))
    entry = describe(tmp_path / "a")
    assert entry.sha256 == hashlib.sha256(f"{four}  b/c\n{one}  z\n".encode()).hexdigest()
    assert (entry.path, entry.bytes) == ("a", 7)


def test_a_file_is_hashed_by_its_bytes(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"one")
    entry = describe(tmp_path / "a")
    assert entry.sha256 == hashlib.sha256(b"one").hexdigest()
    assert (entry.path, entry.bytes) == ("a", 3)
