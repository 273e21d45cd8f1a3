"""Round trips, and what `write_checkpoint` refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.checkpoint import Checkpoint, Vocabulary, read_checkpoint, write_checkpoint
from tandem_export.checkpoint.files import hash_file
from tandem_export.errors import CheckpointError


def check_equal(checkpoint: Checkpoint, given: dict[str, Any]) -> None:
    for name in ("config", "vocabulary", "tokenizer_json", "provenance"):
        assert getattr(checkpoint, name) == given[name]
    assert checkpoint.params.keys() == given["params"].keys()
    for part, tensors in given["params"].items():
        assert checkpoint.params[part].keys() == tensors.keys()
        for name, array in tensors.items():
            got = checkpoint.params[part][name]
            assert got.dtype == array.dtype and got.shape == array.shape
            np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["tandem", "independent"])
@pytest.mark.parametrize("router", [True, False], ids=["router", "no_router"])
def test_round_trip(tmp_path: Path, arguments, kind, router, dtype):
    given = arguments(kind, router, dtype)
    written = write_checkpoint(tmp_path / "deep" / "pair", **given)
    check_equal(written, given)
    check_equal(read_checkpoint(tmp_path / "deep" / "pair"), given)
    check_equal(read_checkpoint(str(tmp_path / "deep" / "pair" / "tandem.json")), given)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["pair"], "staging left behind"


def test_folder_holds_the_documented_files(folder: Path):
    names = {"drafter.safetensors", "primary.safetensors", "router.safetensors"}
    assert {path.name for path in folder.iterdir()} == names | {"tandem.json", "tokenizer.json"}
    checkpoint = read_checkpoint(folder)
    assert checkpoint.source == {
        label: hash_file(folder / f"{label}.{'json' if label == 'tokenizer' else 'safetensors'}")
        for label in ("primary", "drafter", "router", "tokenizer")
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda w: w.astype(np.float32), "float32"),
        (lambda w: w.astype(np.float32)[:, ::-1], "float32"),
        (lambda w: np.asfortranarray(w.astype(np.float32)), "float32"),
        (lambda w: jnp.asarray(w, jnp.bfloat16), "mixed"),
    ],
    ids=["plain", "strided", "fortran", "jax_bfloat16"],
)
def test_any_layout_is_written_by_value(tmp_path: Path, arguments, change, expected):
    given = arguments()
    weight = change(given["params"]["primary"]["embedding.weight"])
    given["params"]["primary"]["embedding.weight"] = weight
    written = write_checkpoint(tmp_path / "pair", **given)
    np.testing.assert_array_equal(written.params["primary"]["embedding.weight"], np.asarray(weight))
    assert json.loads((tmp_path / "pair" / "tandem.json").read_text())["dtype"] == expected


def test_tensors_are_mapped_read_only(folder: Path):
    array = read_checkpoint(folder).params["primary"]["embedding.weight"]
    assert type(array) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1.0


def test_padded_embedding_is_allowed(tmp_path: Path, arguments, tokenizer):
    given = arguments() | {
        "tokenizer_json": tokenizer(12),
        "vocabulary": Vocabulary(size=12, end_tokens=(0,)),
    }
    check_equal(write_checkpoint(tmp_path / "pair", **given), given)


def _drop(given, part, name):
    del given["params"][part][name]


def _add(given, part, name):
    given["params"][part][name] = np.zeros(2, np.float32)


def _recast(given, part, name, dtype):
    given["params"][part][name] = given["params"][part][name].astype(dtype)


def _reshape(given, part, name):
    given["params"][part][name] = given["params"][part][name][None]


def _big_vocabulary(given, tokenizer):
    given["vocabulary"] = Vocabulary(size=17, end_tokens=(0,))
    given["tokenizer_json"] = tokenizer(17)


BAD = {
    "missing": (
        lambda g, t: _drop(g, "drafter", "embedding.weight"),
        "Missing: `embedding.weight`",
    ),
    "unexpected": (lambda g, t: _add(g, "router", "extra"), "Unexpected: `extra`"),
    "float64": (lambda g, t: _recast(g, "primary", "final_norm.weight", "f8"), "Got: float64"),
    "big_endian": (lambda g, t: _recast(g, "primary", "final_norm.weight", ">f4"), "Got: >f4"),
    "shape": (lambda g, t: _reshape(g, "primary", "embedding.weight"), r"Got: \[1, 16, 8\]"),
    "no_router": (lambda g, t: g["params"].pop("router"), r"asks for the parts .*'router'"),
    "tokenizer_text": (lambda g, t: g.update(tokenizer_json="{}"), "`tokenizer_json`: not a token"),
    "tokenizer_size": (lambda g, t: g.update(tokenizer_json=t(15)), "Got: 14"),
    "vocabulary": (lambda g, t: _big_vocabulary(g, t), "at most `config.primary.vocab_size` = 16"),
    "provenance": (lambda g, t: g.update(provenance={"x": {1, 2}}), "must be plain JSON"),
    "nan": (lambda g, t: g.update(provenance={"x": float("nan")}), "must be plain JSON"),
    "name": (lambda g, t: g.update(name="../other.json"), "`name` must be a file name"),
    "storage": (lambda g, t: g.update(storage="pickle"), "`storage` must be one of"),
}


@pytest.mark.parametrize(("break_it", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_leave_the_old_checkpoint(
    tmp_path: Path, folder: Path, arguments, tokenizer, break_it, message
):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    given = arguments()
    break_it(given, tokenizer)
    with pytest.raises(CheckpointError, match=message):
        write_checkpoint(folder, **given, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["pair"], "staging left behind"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"end_tokens": ()}, "at least one id"),
        ({"end_tokens": (1, 1)}, "none twice"),
        ({"end_tokens": (4,)}, r"end_tokens` must lie in 0 \.\. 3\. Got: 4"),
        ({"end_tokens": (0,), "begin_token": -1}, r"begin_token` must lie in 0 \.\. 3\. Got: -1"),
    ],
    ids=["none", "twice", "range", "begin"],
)
def test_vocabulary_checks_itself(values, message):
    with pytest.raises(CheckpointError, match=message):
        Vocabulary(size=4, **values)


def test_what_was_written_can_be_written_again(tmp_path: Path, folder: Path):
    first = read_checkpoint(folder)
    fields = {field.name for field in dataclasses.fields(first)} - {"source"}
    again = write_checkpoint(tmp_path / "copy", **{name: getattr(first, name) for name in fields})
    assert again.source == first.source
