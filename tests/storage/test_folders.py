"""Folders of living, finished and killed builders."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tandem_export.storage import folders
from tandem_export.storage.folders import replace_folder, staging

BUILDER = """
import sys, time
from pathlib import Path
from tandem_export.storage.folders import staging
with staging(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    print(folder.name, flush=True)
    time.sleep(600)
"""


class Builder:
    """A process that has begun to build `path`."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", BUILDER, str(path)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.folder = path.with_name(self.process.stdout.readline().strip())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "file").write_text(text)
    return path


def test_what_a_killed_builder_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    builders = [Builder(tmp_path / "out") for _ in range(2)]
    other = Builder(tmp_path / "other")
    try:
        builders[0].kill()
        foreign = fill(tmp_path / ".out.notes.new", "a user's")
        with staging(tmp_path / "out"):
            assert not builders[0].folder.exists(), "of the dead"
            assert (builders[1].folder / "half").exists(), "of the living"
        assert names(tmp_path) == sorted([builders[1].folder.name, other.folder.name, foreign.name])
    finally:
        builders[1].kill()
        other.kill()


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_is_replaced(
    tmp_path: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    out = fill(tmp_path / "out", "old")
    with staging(out) as folder:
        (folder / "file").write_text("new")
        replace_folder(folder, out)
    assert (out / "file").read_text() == "new" and names(tmp_path) == ["out"]


DIES = """
import os, sys
from pathlib import Path
from tandem_export.storage import folders
folders._remove = lambda folder: os._exit(7)
folders.replace_folder(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two names")
def test_linux_replaces_in_one_step(tmp_path: Path) -> None:
    """A process that dies right after the exchange leaves the new folder, and the old one aside."""
    out, new = fill(tmp_path / "out", "old"), fill(tmp_path / "new", "new")
    ended = subprocess.run([sys.executable, "-c", DIES, str(new), str(out)])
    assert ended.returncode == 7
    assert (out / "file").read_text() == "new" and (new / "file").read_text() == "old"


def test_a_death_between_two_renames_costs_nothing(tmp_path: Path) -> None:
    aside = fill(tmp_path / f".out.{32 * 'a'}.old", "old")
    with staging(tmp_path / "out"):
        assert (tmp_path / "out" / "file").read_text() == "old" and not aside.exists()
    assert names(tmp_path) == ["out"]


def test_an_exception_between_two_renames_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    out = fill(tmp_path / "out", "old")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "missing", out)
    assert (out / "file").read_text() == "old" and names(tmp_path) == ["out"]


def test_where_nothing_can_be_locked_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = fill(tmp_path / f".out.{32 * 'a'}.new", "whose?")
    monkeypatch.setattr(folders, "_lock", lambda folder, wait=False: None)
    with staging(tmp_path / "out") as folder:
        assert folder.exists()
    assert names(tmp_path) == [left.name]
