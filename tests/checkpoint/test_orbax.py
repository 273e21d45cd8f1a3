"""The same tree in an Orbax checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import pytest

from tandem_export.checkpoint import read_checkpoint, write_checkpoint
from tandem_export.checkpoint.files import describe
from tandem_export.errors import CheckpointError


@pytest.fixture
def orbax(tmp_path: Path, arguments) -> Path:
    path = tmp_path / "orbax_pair"
    write_checkpoint(path, **arguments(dtype="bfloat16"), storage="orbax")
    return path


def replace_tree(folder: Path, tree: dict[str, Any]) -> None:
    """Puts another tree in the place of the Orbax folder, and its hash into `tandem.json`."""
    shutil.rmtree(folder / "orbax")
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "orbax", tree)
    rehash(folder)


def rehash(folder: Path) -> None:
    document = json.loads((folder / "tandem.json").read_text())
    entry = describe(folder / "orbax")
    document["files"]["orbax"] = {"path": "orbax", "sha256": entry.sha256, "bytes": entry.bytes}
    (folder / "tandem.json").write_text(json.dumps(document))


def test_round_trip(orbax: Path, arguments):
    given = arguments(dtype="bfloat16")
    got = read_checkpoint(orbax)
    assert got.config == given["config"] and got.provenance == given["provenance"]
    assert set(got.source) == {"orbax", "tokenizer"}
    assert got.params.keys() == given["params"].keys()
    for part, tensors in given["params"].items():
        assert got.params[part].keys() == tensors.keys()
        for name, array in tensors.items():
            assert isinstance(got.params[part][name], np.ndarray)
            assert got.params[part][name].dtype == array.dtype
            np.testing.assert_array_equal(got.params[part][name], array)


def test_no_pickle_and_no_machine_in_the_files(orbax: Path):
    for path in orbax.rglob("*"):
        assert path.suffix not in (".pkl", ".pickle")
        if path.is_file():
            assert str(orbax.parent).encode() not in path.read_bytes()


def test_any_changed_file_is_noticed(orbax: Path):
    victim = next(path for path in (orbax / "orbax" / "d").iterdir())
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=r"`orbax` is not the file .* sha256"):
        read_checkpoint(orbax)


def test_links_that_leave_the_folder_are_refused(orbax: Path, tmp_path: Path):
    (orbax / "orbax" / "leak").symlink_to(tmp_path)
    with pytest.raises(CheckpointError, match="`orbax/leak`, which leads to"):
        read_checkpoint(orbax)


def test_missing_folder(orbax: Path):
    shutil.rmtree(orbax / "orbax")
    with pytest.raises(CheckpointError, match="`orbax` is missing: expected a folder"):
        read_checkpoint(orbax)


@pytest.mark.filterwarnings("ignore")
def test_not_an_orbax_checkpoint(orbax: Path):
    shutil.rmtree(orbax / "orbax")
    (orbax / "orbax").mkdir()
    (orbax / "orbax" / "notes.txt").write_text("hello")
    rehash(orbax)
    with pytest.raises(CheckpointError, match=r"`orbax`: not an Orbax StandardCheckpoint.*no tree"):
        read_checkpoint(orbax)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("router"), r"asks for the parts .*Got: \['drafter', 'primary'\]"),
        (lambda p: p["drafter"].pop("embedding.weight"), "Missing: `embedding.weight`"),
        (lambda p: p["drafter"].update(x=np.zeros(2, np.float32)), "Unexpected: `x`"),
        (
            lambda p: p["router"].update({"out.bias": np.zeros(2, np.float32)}),
            r"`out.bias` must have shape \[1\] .*Got: \[2\]",
        ),
        (
            lambda p: p["router"].update({"out.bias": np.zeros(1, np.int32)}),
            r"`out.bias` must be one of .*Got: int32",
        ),
        (lambda p: p.update(primary=np.zeros(2, np.float32)), "tree `{part:.*Got: the keys"),
    ],
    ids=["part", "missing", "unexpected", "shape", "dtype", "flat"],
)
def test_another_tree(orbax: Path, arguments, change, message):
    params = arguments()["params"]
    change(params)
    replace_tree(orbax, params)
    with pytest.raises(CheckpointError, match="`orbax`: .*" + message):
        read_checkpoint(orbax)


def test_orbax_and_safetensors_hold_the_same(orbax: Path, tmp_path: Path, arguments):
    plain = write_checkpoint(tmp_path / "plain", **arguments(dtype="bfloat16"))
    got = read_checkpoint(orbax)
    for part, tensors in plain.params.items():
        for name, array in tensors.items():
            np.testing.assert_array_equal(got.params[part][name], array)


def test_a_second_checkpoint_cannot_share_an_orbax_primary(orbax: Path, arguments):
    with pytest.raises(CheckpointError, match="is stored as Orbax"):
        write_checkpoint(orbax, **arguments("independent", False), name="independent.json")
    with pytest.raises(CheckpointError, match="shares no files"):
        write_checkpoint(orbax, **arguments(), name="second.json", storage="orbax")
