"""A GGUF file gives the decoder that its Hugging Face folder gives."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

gguf = pytest.importorskip("gguf", reason="needs the package gguf (the extra `import`)")

from tandem_export.errors import CheckpointError  # noqa: E402
from tandem_export.importing import read_source  # noqa: E402
from tandem_export.importing.gguf.tensors import read_tensors  # noqa: E402
from tandem_export.storage import TensorRecord  # noqa: E402
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
    monkeypatch.setattr("tandem_export.importing.gguf.tensors._ROWS", 7)
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
        ({"rope.scaling.type": "longrope"}, "`llama.rope.scaling.type` must be 'none', 'linear'"),
        (
            {"rope.dimension_count": 4},
            "`llama.rope.dimension_count` must be the head size 8. Got: 4",
        ),
        (
            {"attention.value_length": 4},
            "`llama.attention.value_length` must be 8, the length of keys. Got: 4",
        ),
        ({"attention.head_count": [4, 4, 2]}, "must be the same number for every layer"),
        ({"block_count": 2**31}, "`llama.block_count` must be a whole number of 1 .. 2048"),
        (
            {"attention.layer_norm_rms_epsilon": float("nan")},
            "must be a number of 0 .. 1. Got: nan",
        ),
        ({"expert_count": 8}, "`llama.expert_count` must be 0. Got: 8"),
        ({"feed_forward_length": 52}, "`blk.0.ffn_down.weight` must have shape"),
        ({"block_count": 4}, "`blk.3.attn_v.weight` and 4 more. Not known: none. Got: 30"),
        ({"block_count": 2}, "Missing: none. Not known: `blk.2.attn_k.weight`, "),
    ],
    ids=[
        *("rope", "partial rotation", "value size", "heads", "depth", "epsilon"),
        *("experts", "shape", "missing", "left over"),
    ],
)
def test_what_does_not_fit_is_named(changed: dict, message: str, tmp_path: Path) -> None:
    path = files.gguf_file(tmp_path / "model.gguf", "llama2", **changed)
    with pytest.raises(CheckpointError, match=r"`model\.gguf`: ") as raised:
        read_source(str(path), "primary")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "scaling", "factor"),
    [
        ({"rope.scaling.factor": 4.0}, "linear", 4.0),  # without a type, as llama.cpp reads it
        ({"rope.scale_linear": 4.0}, "linear", 4.0),  # the name before 2023-11
        ({"rope.scale_linear": 2.0, "rope.scaling.factor": 4.0}, "linear", 4.0),
        ({"rope.scaling.type": "none", "rope.scaling.factor": 4.0}, "none", 1.0),
        ({"rope.scaling.type": "linear", "rope.scaling.factor": 0.0}, "none", 1.0),
    ],
)
def test_rotary_scaling(changed: dict, scaling: str, factor: float, tmp_path: Path) -> None:
    path = files.gguf_file(tmp_path / "model.gguf", "llama2", **changed)
    rope = read_source(str(path), "primary").config.rope
    assert (rope.scaling, rope.factor) == (scaling, factor)


def test_yarn_and_what_is_rotated(tmp_path: Path) -> None:
    changed: dict[str, Any] = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 4.0,
        "context_length": 64,
    }
    partial: dict[str, Any] = changed | {"rope.dimension_count": 4}
    path = files.gguf_file(tmp_path / "model.gguf", "gemma2", **partial)
    rope = read_source(str(path), "primary").config.rope
    assert (rope.scaling, rope.factor, rope.rotary_size) == ("yarn", 4.0, 4)
    assert rope.original_positions == 64 and rope.attention_factor == 1 + 0.1 * math.log(4)
    more: dict[str, Any] = {
        "rope.scaling.original_context_length": 16,
        "rope.scaling.attn_factor": 2.0,
    }
    path = files.gguf_file(tmp_path / "model.gguf", "qwen2.5", **changed, **more)
    rope = read_source(str(path), "primary").config.rope
    assert rope.original_positions == 16 and rope.attention_factor == 2 + 0.2 * math.log(4)


def test_heads_may_be_told_layer_by_layer(tmp_path: Path) -> None:
    listed: dict[str, Any] = {
        "attention.head_count": [4, 4, 4],
        "attention.head_count_kv": [2, 2, 2],
    }
    path = files.gguf_file(tmp_path / "model.gguf", "llama2", **listed)
    plain = files.gguf_file(tmp_path / "plain.gguf", "llama2")
    ours, theirs = (read_source(str(each), "primary").config for each in (path, plain))
    assert ours == theirs


@pytest.mark.parametrize(
    ("shape", "kind", "at", "message"),
    [
        ((8,), 0, 32, "tensor `b` must have bytes of its own. Got: some that are `a`'s, too"),
        ((2**20,), 0, 64, "tensor `b` must lie in the file's 128 bytes. Got: 4194304 bytes from"),
        ((2, 48), 8, 64, "tensor `b`: rows of Q8_0 must be a multiple of 32 long. Got: 48"),
        ((8,), 99, 64, "tensor `b`: its type must be one that the `gguf` package knows. Got: type"),
    ],
    ids=["shared", "beyond", "blocks", "type"],
)
def test_tensors_must_lie_in_the_file(
    shape: tuple[int, ...], kind: int, at: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "x.gguf").write_bytes(bytes(128))
    records = [
        TensorRecord(name="a", shape=(2, 8), kind=0, start=0),
        TensorRecord(name="b", shape=shape, kind=kind, start=at),
    ]
    with pytest.raises(CheckpointError) as raised:
        read_tensors(tmp_path / "x.gguf", records)
    assert message in str(raised.value)


def test_a_part_of_a_split_file_is_named(tmp_path: Path) -> None:
    path = files.gguf_file(tmp_path / "model.gguf", "llama2", split=(1, 2))
    with pytest.raises(CheckpointError, match=r"llama-gguf-split --merge`\. Got: part 2 of 2"):
        read_source(str(path), "primary")


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
