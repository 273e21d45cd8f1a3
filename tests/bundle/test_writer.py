from __future__ import annotations

from pathlib import Path

import pytest

from tandem_export.bundle import BundleWriter, open_bundle
from tandem_export.errors import BundleError
from tandem_export.storage.folders import replace_folder
from tests.bundle import sample


def test_nothing_shows_before_commit_and_nothing_else_stays(tmp_path):
    out = tmp_path / "new" / "out"
    with BundleWriter(out) as writer:
        writer.add_weights(sample.WEIGHTS, "float32")
        writer.add_file("tokenizer.json", b"{}")
        assert not out.exists()
        writer.commit(sample.manifest())
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert open_bundle(out).manifest.name == "sample"


def break_in_block(out: Path) -> None:
    with BundleWriter(out, overwrite=True) as writer:
        writer.add_file("tokenizer.json", b"{}")
        raise KeyboardInterrupt


def break_schema(out: Path) -> None:
    sample.write(out, overwrite=True, created="yesterday")


def forget_commit(out: Path) -> None:
    with BundleWriter(out, overwrite=True) as writer:
        writer.add_file("tokenizer.json", b"{}")


def lose_the_new_folder(out: Path) -> None:
    replace_folder(out.parent / "missing", out)


@pytest.mark.parametrize("existing", [True, False], ids=["over-a-bundle", "fresh"])
@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (break_in_block, KeyboardInterrupt),
        (break_schema, BundleError),
        (forget_commit, None),
        (lose_the_new_folder, FileNotFoundError),
    ],
    ids=["interrupt", "schema", "no-commit", "rename"],
)
def test_a_failure_leaves_what_was_there(tmp_path, fail, error, existing):
    if existing:
        sample.write(tmp_path / "out")
    before = sample.snapshot(tmp_path)
    if error is None:
        fail(tmp_path / "out")
    else:
        with pytest.raises(error):
            fail(tmp_path / "out")
    assert sample.snapshot(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == existing


def test_a_bundle_is_replaced_only_when_asked(tmp_path):
    out = sample.write(tmp_path / "out")
    with pytest.raises(BundleError, match=r"is a bundle already\. Pass `overwrite=True`"):
        sample.write(out)
    sample.write(out, overwrite=True, name="second")
    assert open_bundle(out).manifest.name == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def make_file(path: Path) -> None:
    path.write_text("precious")


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_text('{"format_version": 1}')


def make_broken(path: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_text("{")


def make_empty(path: Path) -> None:
    path.mkdir()


def make_link(path: Path) -> None:
    path.symlink_to(sample.write(path.parent / "real"))


@pytest.mark.parametrize("make", [make_file, make_folder, make_broken, make_empty, make_link])
def test_what_is_not_a_bundle_is_never_replaced(tmp_path, make):
    make(tmp_path / "out")
    before = sample.snapshot(tmp_path)
    with pytest.raises(BundleError, match="exists and is not a bundle, so it is left alone"):
        sample.write(tmp_path / "out", overwrite=True)
    assert sample.snapshot(tmp_path) == before


def test_a_bundle_that_appears_during_the_build_is_kept(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(BundleError, match="is a bundle already"), BundleWriter(out) as writer:
        sample.write(out, name="faster")
        writer.commit(sample.manifest(name="slower"))
    assert open_bundle(out).manifest.name == "faster"


@pytest.mark.parametrize("name", ["tokenizer.json", "manifest.json", "manifest.sha256"])
def test_a_file_is_written_once(tmp_path, name):
    with BundleWriter(tmp_path / "out") as writer:
        writer.add_file("tokenizer.json", b"{}")
        with pytest.raises(BundleError, match="was written already"):
            writer.add_file(name, b"{}")


def test_paths_stay_inside(tmp_path):
    with BundleWriter(tmp_path / "out") as writer, pytest.raises(BundleError, match="relative"):
        writer.add_file("../escaped", b"")
    assert list(tmp_path.iterdir()) == []
