"""What is on disk is replaced only by something whole, and only when that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem_export.checkpoint import read_checkpoint, write_checkpoint
from tandem_export.checkpoint.staging import staged
from tandem_export.errors import CheckpointError
from tandem_export.storage.folders import link_tree


def test_refuses_to_overwrite_by_default(folder: Path, arguments):
    with pytest.raises(CheckpointError, match=r"tandem\.json' exists: pass `overwrite=True`"):
        write_checkpoint(folder, **arguments())


def test_overwrite_replaces_the_whole_folder(tmp_path: Path, folder: Path, arguments):
    write_checkpoint(folder, **arguments("independent", False), name="independent.json")
    write_checkpoint(folder, **arguments("tandem", False, "bfloat16"), overwrite=True)
    assert {path.name for path in folder.iterdir()} == {
        "tandem.json",
        "tokenizer.json",
        "primary.safetensors",
        "drafter.safetensors",
    }
    assert read_checkpoint(folder).config.router is None
    assert [path.name for path in tmp_path.iterdir()] == ["pair"], "old folder left behind"


def test_overwrite_keeps_its_hands_off_other_files(folder: Path, arguments):
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"holds 'thesis\.txt'"):
        write_checkpoint(folder, **arguments(), overwrite=True)
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path, arguments):
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"holds 'notes\.json'"):
        write_checkpoint(tmp_path, **arguments(), overwrite=True)


def test_a_checkpoint_with_damaged_weights_can_be_replaced(folder: Path, arguments):
    (folder / "primary.safetensors").write_bytes(b"")
    write_checkpoint(folder, **arguments(), overwrite=True)
    assert read_checkpoint(folder).provenance["steps"] == 3


def test_an_empty_folder_is_filled_and_a_file_is_refused(tmp_path: Path, arguments):
    (tmp_path / "empty").mkdir()
    write_checkpoint(tmp_path / "empty", **arguments())
    assert read_checkpoint(tmp_path / "empty").vocabulary.size == 16
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="must be a folder or not exist yet"):
        write_checkpoint(tmp_path / "file", **arguments())


def test_a_linked_folder_is_replaced_where_it_lies(tmp_path: Path, folder: Path, arguments):
    (tmp_path / "link").symlink_to(folder)
    write_checkpoint(tmp_path / "link", **arguments("tandem", False), overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert read_checkpoint(folder).config.router is None


def test_an_error_leaves_the_old_folder_and_no_stage(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("old")
    with pytest.raises(RuntimeError, match="half way"), staged(tmp_path / "a") as stage:
        (stage / "new").write_text("new")
        raise RuntimeError("half way")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "old"]


def test_a_failed_swap_puts_the_old_folder_back(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("old")
    with pytest.raises(OSError), staged(tmp_path / "a") as stage:
        stage.rmdir()  # Nothing is left to move in.
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "old"]


def test_link_tree_takes_files_and_links(tmp_path: Path):
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "file").write_text("x")
    (tmp_path / "a" / "link").symlink_to("deep/file")
    link_tree(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "deep" / "file").read_text() == "x"
    assert (tmp_path / "b" / "link").is_symlink() and (tmp_path / "b" / "link").read_text() == "x"
