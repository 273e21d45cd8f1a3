"""Folders as people have them: layouts of weights, heads, links, damaged files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tandem_export.errors import CheckpointError
from tandem_export.importing import Source, read_source
from tests.importing import files

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def copied(tmp_path: Path, name: str = "qwen3") -> Path:
    return Path(shutil.copytree(files.folder(name), tmp_path / "model"))


def read(folder: Path) -> Source:
    return read_source(str(folder), "primary")


def change_weights(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def same(one: Source, other: Source) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        (np.asarray(tensor) == np.asarray(other.tensors[name])).all()
        for name, tensor in one.tensors.items()
    )


def without_prefix(tensors: dict[str, np.ndarray]) -> None:
    for name in list(tensors):
        tensors[name.removeprefix("model.")] = tensors.pop(name)


def only_the_head(tensors: dict[str, np.ndarray]) -> None:
    tensors[HEAD] = tensors.pop(EMBEDDING)


def a_copy(tensors: dict[str, np.ndarray]) -> None:
    tensors[HEAD] = tensors[EMBEDDING].copy()


@pytest.mark.parametrize("change", [without_prefix, only_the_head, a_copy])
def test_layouts_that_hold_the_same_model(tmp_path: Path, change: Callable) -> None:
    folder = copied(tmp_path)
    want = read(folder)
    assert want.config.tied_embedding
    change_weights(folder, change)
    assert read(folder).config == want.config and same(read(folder), want)


def test_a_single_file_goes_before_an_index_of_an_earlier_download(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    stale = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    files.json_file(folder / "model.safetensors.index.json", stale)
    assert same(read(folder), read(files.folder("qwen3")))


def test_a_head_that_differs_from_the_tied_embedding_is_used_and_told(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    head = np.random.default_rng(0).normal(size=(96, 32)).astype(np.float32)
    change_weights(folder, lambda tensors: tensors.update({HEAD: head}))
    source = read(folder)
    assert not source.config.tied_embedding
    assert (np.asarray(source.tensors["head.weight"]) == head.T).all()
    assert "although `tie_word_embeddings` is true" in source.facts["notes"][0]


def test_fused_projections_must_have_the_rows_of_their_parts(tmp_path: Path) -> None:
    folder = copied(tmp_path, "phi3")
    name = "model.layers.1.self_attn.qkv_proj.weight"
    change_weights(folder, lambda tensors: tensors.update({name: tensors[name][1:].copy()}))
    with pytest.raises(CheckpointError, match=r"qkv_proj\.weight` must have 64 rows .* \[63, 32\]"):
        read(folder)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "config.json",
            POINTER,
            "`config.json`: must be the file itself. Got: a pointer of Git LFS",
        ),
        ("tokenizer.json", POINTER, "`tokenizer.json`: must be the file itself. Got: a pointer"),
        ("config.json", "{", "`config.json`: not a JSON document"),
        ("config.json", "[]", "`config.json`: must hold a JSON object. Got: []"),
        ("config.json", '{"a":' * 100_000, "`config.json`: not a JSON document: lists and objects"),
        ("config.json", '{"model_type": ["llama"]}', "`model_type` must be one of"),
        ("config.json", '{"model_type": "llama"}', "the setting `num_attention_heads` is missing"),
        ("tokenizer_config.json", "<html>", "`tokenizer_config.json`: not a JSON document"),
        ("generation_config.json", "[]", "`generation_config.json`: must hold a JSON object"),
        ("model.safetensors", POINTER, "safetensors"),
        ("model.safetensors", "", "safetensors"),
    ],
)
def test_damaged_files_are_one_paragraph(
    tmp_path: Path, file: str, text: str, message: str
) -> None:
    folder = copied(tmp_path)
    (folder / file).write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"`model`: ") as raised:
        read(folder)
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({}, "`weight_map` must say for each tensor which file it is in. Got: None"),
        ({"weight_map": {"a": 1}}, "`weight_map` must say for each tensor which file it is in"),
        ({"weight_map": {"a": "n" * 300}}, "the shard 'nnnnn"),
        ({"weight_map": {"a": "gone.safetensors"}}, "the shard 'gone.safetensors' must be in the"),
        (
            {"weight_map": {"a": "../model/config.json"}},
            "the shard '../model/config.json' must be",
        ),
    ],
)
def test_an_index_names_files_of_the_folder(tmp_path: Path, index: dict, message: str) -> None:
    folder = copied(tmp_path)
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    files.json_file(folder / "model.safetensors.index.json", index)
    with pytest.raises(CheckpointError) as raised:
        read(folder)
    assert message in str(raised.value)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    path = folder / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(folder).config == read(files.folder("qwen3")).config


def test_more_layers_than_tensors_are_refused_before_they_are_listed(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    values = json.loads((folder / "config.json").read_text())
    files.json_file(folder / "config.json", values | {"num_hidden_layers": 2048, "layer_types": []})
    with pytest.raises(CheckpointError, match=r"has 2048 layers, .* Got: 35 tensors"):
        read(folder)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_links_out_of_the_folder_are_refused(tmp_path: Path, file: str) -> None:
    folder = copied(tmp_path)
    (folder / file).rename(tmp_path / "elsewhere")
    (folder / file).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=rf"`{file}`: a link must stay in its folder\. .*Got"):
        read(folder)


def test_links_of_the_hubs_cache_are_followed(tmp_path: Path) -> None:
    snapshot, blobs = (
        tmp_path / "models--a--b" / "snapshots" / "1f",
        tmp_path / "models--a--b/blobs",
    )
    blobs.mkdir(parents=True)
    shutil.copytree(files.folder("qwen3"), snapshot)
    for path in sorted(snapshot.iterdir()):
        path.rename(blobs / path.name)
        path.symlink_to(Path("../../blobs", path.name))
    assert same(read(snapshot), read(files.folder("qwen3")))


def test_a_name_of_the_hub_comes_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = r"Run `hf download HuggingFaceTB/SmolLM2-135M --local-dir SmolLM2-135M`"
    with pytest.raises(CheckpointError, match=command):
        read_source("HuggingFaceTB/SmolLM2-135M", "primary")
    os.makedirs("HuggingFaceTB/SmolLM2-135M")
    with pytest.raises(CheckpointError, match="must be a Hugging Face folder"):
        read_source("HuggingFaceTB/SmolLM2-135M", "primary")
