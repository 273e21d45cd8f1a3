"""A GGUF file gives the decoder that its Hugging Face folder gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

gguf = pytest.importorskip("gguf", reason="needs the package gguf (the extra `import`)")

from tandem_export.errors import CheckpointError  # noqa: E402
from tandem_export.importing import read_source  # noqa: E402
from tests.importing import files, models  # noqa: E402


@pytest.mark.parametrize("name", files.ARCHITECTURES)
def test_config_and_values_are_those_of_the_folder(name: str, tmp_path: Path) -> None:
    path = files.gguf_file(tmp_path / "model.gguf", name)
    ours, theirs = (read_source(str(p), "primary") for p in (path, models.folder(name)))
    # GGUF has 1 + weight for Gemma's norms, and leaves its query scale to the reader.
    want = dataclasses.replace(theirs.config, norm_plus_one=False, query_scale=None)
    assert ours.config == want
    assert set(ours.tensors) == set(theirs.tensors)
    for key, tensor in theirs.tensors.items():
        added = np.float32(theirs.config.norm_plus_one and "norm" in key)
        np.testing.assert_array_equal(np.asarray(ours.tensors[key]), np.asarray(tensor) + added)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q5_0", "Q4_1"])
def test_quantised_tensors_are_near(kind: str, tmp_path: Path) -> None:
    """Rows of 32 values, one block each."""
    path = files.gguf_file(tmp_path / "model.gguf", "llama2", kind)
    ours, theirs = (read_source(str(p), "primary") for p in (path, models.folder("llama2")))
    assert kind in ours.facts["types"]
    for key, tensor in ours.tensors.items():
        got, want = np.asarray(tensor), np.asarray(theirs.tensors[key])
        assert got.dtype == np.float32
        assert np.abs(got - want).max() <= 0.2 * np.abs(want).max()
        assert np.corrcoef(got.ravel(), want.ravel())[0, 1] > 0.98


def test_many_rows_are_dequantised_in_pieces(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = files.gguf_file(tmp_path / "model.gguf", "llama2", "Q8_0")
    whole = np.asarray(read_source(str(path), "primary").tensors["embedding.weight"])
    monkeypatch.setattr("tandem_export.importing.gguf._ROWS", 7)
    pieces = np.asarray(read_source(str(path), "primary").tensors["embedding.weight"])
    assert (whole == pieces).all() and len(whole) == 96


def test_vocabulary_comes_along(tmp_path: Path) -> None:
    source = read_source(str(files.gguf_file(tmp_path / "model.gguf", "llama2")), "primary")
    assert source.text is not None
    assert source.text.end_tokens == (2,)
    assert source.text.chat_template == "{{ messages[0].content }}"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rope.scaling.type": "yarn"}, "`rope.scaling.type` must be 'none' or 'linear'"),
        ({"expert_count": 8}, "`llama.expert_count` must be 0. Got: 8"),
        ({"feed_forward_length": 52}, "`blk.0.ffn_down.weight` must have shape"),
        ({"block_count": 4}, "a tensor is missing. Got: 9 such: `blk.3.attn_k.weight`"),
        ({"block_count": 2}, "a tensor is not known in this family. Got: 9 such"),
    ],
    ids=["rope", "experts", "shape", "missing", "left over"],
)
def test_what_does_not_fit_is_named(changed: dict, message: str, tmp_path: Path) -> None:
    path = files.gguf_file(tmp_path / "model.gguf", "llama2", **changed)
    with pytest.raises(CheckpointError, match=r"`model\.gguf`: ") as raised:
        read_source(str(path), "primary")
    assert message in str(raised.value)


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "mamba")
    for step in ("header", "kv_data", "tensors"):
        getattr(writer, f"write_{step}_to_file")()
    writer.close()
    with pytest.raises(CheckpointError, match=r"one of \['gemma2', .*\]\. Got: 'mamba'"):
        read_source(str(tmp_path / "model.gguf"), "primary")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"no model" * 9)
    with pytest.raises(CheckpointError, match="not a GGUF file"):
        read_source(str(tmp_path / "model.gguf"), "primary")
