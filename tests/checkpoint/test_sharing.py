"""A second checkpoint in one folder: `independent.json` beside `tandem.json`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tandem_export.checkpoint import Vocabulary, read_checkpoint, write_checkpoint
from tandem_export.errors import CheckpointError

NAME = "independent.json"


def test_primary_and_tokenizer_are_shared(folder: Path, arguments):
    first = read_checkpoint(folder)
    given = arguments("independent", False)
    second = write_checkpoint(folder, **given, name=NAME)
    assert second.config == given["config"]
    again = read_checkpoint(folder / NAME)
    for label in ("primary", "tokenizer"):
        assert again.source[label] == first.source[label]
    assert again.source["drafter"] != first.source["drafter"]
    files = json.loads((folder / NAME).read_text())["files"]
    assert {label: entry["path"] for label, entry in files.items()} == {
        "primary": "primary.safetensors",
        "tokenizer": "tokenizer.json",
        "drafter": "independent.drafter.safetensors",
    }
    assert read_checkpoint(folder).source == first.source


def test_overwriting_the_second_keeps_the_first_and_leaves_nothing(folder: Path, arguments):
    write_checkpoint(folder, **arguments("independent", True), name=NAME)
    old = read_checkpoint(folder / NAME)
    old_values = {name: array.copy() for name, array in old.params["drafter"].items()}
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    given = arguments("independent", False)
    with pytest.raises(CheckpointError, match=r"independent\.json' exists: pass `overwrite=True`"):
        write_checkpoint(folder, **given, name=NAME)
    given["params"]["drafter"]["embedding.weight"] = np.ones((16, 8), np.float32)
    write_checkpoint(folder, **given, name=NAME, overwrite=True)
    assert read_checkpoint(folder / NAME).params["drafter"]["embedding.weight"][0, 0] == 1
    assert "independent.router.safetensors" not in {path.name for path in folder.iterdir()}
    for name in ("tandem.json", "drafter.safetensors", "router.safetensors"):
        assert (folder / name).read_bytes() == first[name]
    for name, values in old_values.items():  # A checkpoint in memory outlives its files.
        np.testing.assert_array_equal(old.params["drafter"][name], values)


def _other_config(given):
    primary = dataclasses.replace(given["config"].primary, embedding_scale=2.0)
    given["config"] = dataclasses.replace(given["config"], primary=primary)


def _other_weight(given):
    given["params"]["primary"]["embedding.weight"] = given["params"]["primary"][
        "embedding.weight"
    ].copy()
    given["params"]["primary"]["embedding.weight"][3, 3] += 1


def _other_dtype(given):
    weight = given["params"]["primary"]["final_norm.weight"]
    given["params"]["primary"]["final_norm.weight"] = weight.astype("bfloat16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_config, "`tandem.json`: its `config.primary` is shared"),
        (_other_weight, "tensor `embedding.weight` must have the same values"),
        (_other_dtype, "`final_norm.weight`: dtype must be float32. Got: bfloat16"),
        (lambda g: g.update(tokenizer_json=g["tokenizer_json"] + "\n"), "its tokenizer is shared"),
        (
            lambda g: g.update(vocabulary=Vocabulary(size=16, end_tokens=(5,))),
            "its `vocabulary` is shared",
        ),
        (lambda g: g.update(name="tokenizer.json", overwrite=True), "must not be a file of"),
    ],
    ids=["config", "weight", "dtype", "tokenizer", "vocabulary", "name"],
)
def test_another_primary_or_tokenizer_is_refused(folder: Path, arguments, change, message):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    given = arguments("independent", False) | {"name": NAME}
    change(given)
    with pytest.raises(CheckpointError, match=message):
        write_checkpoint(folder, **given)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_first_must_be_there_and_whole(tmp_path: Path, folder: Path, arguments):
    given = arguments("independent", False)
    with pytest.raises(CheckpointError, match=r"write `tandem\.json` first"):
        write_checkpoint(tmp_path / "empty", **given, name=NAME)
    assert not (tmp_path / "empty").exists()
    (folder / "drafter.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"`drafter\.safetensors` is missing"):
        write_checkpoint(folder, **given, name=NAME)
