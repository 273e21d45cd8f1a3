"""Whole imports: sources to a checkpoint that reads back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import AddedToken

from tandem_export.checkpoint import read_checkpoint, write_checkpoint
from tandem_export.checkpoint.orbax import write_orbax
from tandem_export.config import RouterConfig, to_dict
from tandem_export.errors import CheckpointError, ConfigError
from tandem_export.importing import ImportOptions, import_checkpoint
from tests.importing import files

LLAMA, QWEN = "llama2", "qwen3"


def run(tmp_path: Path, **options):
    given: dict[str, Any] = {"primary": str(files.folder(LLAMA))} | options
    return import_checkpoint(ImportOptions(**given), tmp_path / "pair")


def test_a_tandem_pair_of_two_families(tmp_path: Path) -> None:
    part = files.tandem_file(tmp_path / "part.safetensors", 32, 3)
    made = run(tmp_path, drafter=str(files.folder(QWEN)), tandem=part, tau=0.4)
    assert made.config.kind == "tandem" and made.config.layer_map == (1, 2, 3)
    assert made.config.router == RouterConfig(top_k=2, hidden_size=4, tau=0.4)
    assert made.vocabulary.size == 96 and made.vocabulary.begin_token == 1
    assert made.vocabulary.end_tokens == (2,)
    assert made.params["drafter"]["projection.2.weight"].shape == (32, 32)
    assert made.provenance["imported"]["primary"]["family"] == "llama"
    assert read_checkpoint(tmp_path / "pair").source == made.source


def test_progress_counts_every_tensor_twice(tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    options = ImportOptions(primary=str(files.folder(LLAMA)), drafter_layers=(0,))
    import_checkpoint(options, tmp_path / "pair", progress=lambda *now: calls.append(now))
    assert [done for done, _, _ in calls] == list(range(1, calls[-1][1] + 1))
    assert {name for _, _, name in calls} >= {"primary.head.weight", "drafter.final_norm.weight"}


def test_drafter_of_the_primarys_layers(tmp_path: Path) -> None:
    made = run(tmp_path, drafter_layers=(0, 2), dtype="bfloat16")
    assert made.config.kind == "independent" and made.config.drafter.num_layers == 2
    primary, drafter = made.params["primary"], made.params["drafter"]
    for ours, theirs in (
        ("layers.1.ff.up.weight", "layers.2.ff.up.weight"),
        *[["head.weight"] * 2],
    ):
        assert (drafter[ours] == primary[theirs]).all()
    assert {str(array.dtype) for array in primary.values()} == {"bfloat16"}


def test_drafter_of_fewer_tokens(tmp_path: Path) -> None:
    kept = files.json_file(tmp_path / "kept.json", [5, 2, 90])
    made = run(tmp_path, drafter_layers=(1,), drafter_vocabulary=kept)
    rows = made.params["drafter"]["vocabulary.rows"]
    assert rows[[2, 5, 90]].tolist() == [0, 1, 2] and (np.delete(rows, [2, 5, 90]) == ~0).all()
    primary, drafter = made.params["primary"], made.params["drafter"]
    assert (drafter["embedding.weight"] == primary["embedding.weight"][[2, 5, 90]]).all()
    assert (drafter["head.weight"] == primary["head.weight"][:, [2, 5, 90]]).all()


def with_words(tmp_path: Path, words: list[str]) -> str:
    """The Qwen folder with other tokens."""
    path = tmp_path / "other"
    shutil.copytree(files.folder(QWEN), path)
    (path / "tokenizer.json").write_text(files.tokenizer(words).to_str(), encoding="utf-8")
    return str(path)


def test_drafter_that_numbers_its_tokens_differently(tmp_path: Path) -> None:
    """Its rows are put in the primary's order; a token that it lacks is read as its first row."""
    words = ["<eos>", "w9", "<bos>", "w4", "<pad>"]
    made = run(tmp_path, drafter=with_words(tmp_path, words))
    rows = made.params["drafter"]["vocabulary.rows"]
    assert made.config.drafter.vocab_size == 5
    assert rows[[0, 1, 2, 4, 9]].tolist() == [0, 1, 2, 3, 4] and (rows == ~0).sum() == 91
    table = run_of_folder(files.folder(QWEN))["embedding.weight"]
    assert (made.params["drafter"]["embedding.weight"] == table[[4, 2, 0, 3, 1]]).all()


def run_of_folder(folder: Path) -> dict[str, np.ndarray]:
    from tandem_export.importing import read_source

    return {n: np.asarray(t) for n, t in read_source(str(folder), "primary").tensors.items()}


def test_a_drafter_of_another_vocabulary_is_refused_with_the_token(tmp_path: Path) -> None:
    words = ["<pad>", "<bos>", "<eos>", "w3", "new"]
    with pytest.raises(CheckpointError, match=r"1 of its 5 .* token 4, 'new'; .* 4 is 'w4'"):
        run(tmp_path, drafter=with_words(tmp_path, words))


def with_more_tokens(tmp_path: Path, name: str, *texts: str) -> str:
    """The folder of `name`, its tokenizer with tokens past the embedding's last row."""
    path = tmp_path / f"{name}-more"
    shutil.copytree(files.folder(name), path)
    tokenizer = files.tokenizer()
    tokenizer.add_special_tokens([AddedToken(text) for text in texts])
    (path / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    return str(path)


def test_tokens_without_a_row_are_left_out_and_told(tmp_path: Path) -> None:
    primary = with_more_tokens(tmp_path, LLAMA, "<image>")
    made = run(tmp_path, primary=primary, drafter_layers=(0,))
    assert made.vocabulary.size == 96 and "<image>" not in made.tokenizer_json
    note = "the tokenizer is used without '<image>' (96): the embedding has 96 rows"
    assert made.provenance["imported"]["primary"]["notes"] == [note]


def test_another_tokenizer_is_fitted_too(tmp_path: Path) -> None:
    other = Path(with_more_tokens(tmp_path, QWEN, "[PAD]"))
    made = run(tmp_path, drafter_layers=(0,), tokenizer=other)
    assert made.vocabulary.size == 96
    assert "'[PAD]' (96)" in made.provenance["imported"]["tokenizer"]["notes"][0]


def test_a_drafters_added_token_that_the_primary_lacks_is_never_drafted(tmp_path: Path) -> None:
    folder = Path(with_more_tokens(tmp_path, QWEN, "[PAD]"))
    values = json.loads((folder / "config.json").read_text())
    files.json_file(folder / "config.json", values | {"vocab_size": 97})
    tensors = load_file(folder / "model.safetensors")
    table = tensors["model.embed_tokens.weight"]
    tensors["model.embed_tokens.weight"] = np.concatenate([table, np.ones_like(table[:1])])
    save_file(tensors, folder / "model.safetensors")
    made = run(tmp_path, drafter=str(folder))
    assert made.config.drafter.vocab_size == 96
    assert (made.params["drafter"]["embedding.weight"] == table).all()
    note = "used without '[PAD]': the primary has no such token"
    assert made.provenance["imported"]["drafter"]["notes"] == [note]


def test_checkpoint_as_source_and_chat_template(tmp_path: Path) -> None:
    first = run(tmp_path, drafter_layers=(0,))
    template = tmp_path / "chat.jinja"
    template.write_text("{{ messages }}", encoding="utf-8")
    again = import_checkpoint(
        ImportOptions(
            primary=str(tmp_path / "pair"),
            drafter=str(tmp_path / "pair"),
            chat_template=template,
            end_tokens=("w7", "8"),
        ),
        tmp_path / "again",
    )
    assert again.config == first.config and again.chat_template == "{{ messages }}"
    assert again.vocabulary.end_tokens == (2, 7, 8)
    assert set(again.source) == {"primary", "drafter", "tokenizer", "chat_template"}
    (tmp_path / "again" / "chat_template.jinja").write_text("{{ other }}", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"`chat_template\.jinja` is not the file"):
        read_checkpoint(tmp_path / "again")


def test_orbax_pair(tmp_path: Path) -> None:
    first = run(tmp_path, drafter_layers=(0,))
    write_orbax(tmp_path / "orbax", first.params)
    config = files.json_file(tmp_path / "config.json", to_dict(first.config))
    again = import_checkpoint(
        ImportOptions(
            primary=str(tmp_path / "orbax"), config=config, tokenizer=files.folder(LLAMA)
        ),
        tmp_path / "again",
    )
    assert again.config == first.config
    for part, tensors in first.params.items():
        for name, array in tensors.items():
            assert (again.params[part][name] == array).all()


def test_a_chat_template_is_shared_by_a_second_checkpoint(tmp_path: Path) -> None:
    template = tmp_path / "chat.jinja"
    template.write_text("{{ messages }}", encoding="utf-8")
    made = run(tmp_path, drafter_layers=(0, 1), chat_template=template)
    given = {
        "config": made.config,
        "vocabulary": made.vocabulary,
        "tokenizer_json": made.tokenizer_json,
        "params": made.params,
        "provenance": {},
        "name": "second.json",
    }
    with pytest.raises(CheckpointError, match="its chat template is shared"):
        write_checkpoint(tmp_path / "pair", **given)
    second = write_checkpoint(tmp_path / "pair", **given, chat_template=made.chat_template)
    assert second.source["chat_template"] == made.source["chat_template"]
    files_of = json.loads((tmp_path / "pair" / "second.json").read_text())["files"]
    assert files_of["chat_template"]["path"] == "chat_template.jinja"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "a pair needs a drafter"),
        ({"drafter": "nowhere"}, r"the drafter must be a Hugging Face folder .* Got: 'nowhere'"),
        ({"drafter_layers": (3,)}, r"`drafter_layers` must lie in 0 \.\. 2.* Got: 3"),
        ({"drafter_layers": (0,), "end_tokens": ("w99",)}, r"`end_tokens` .* Got: 'w99'"),
        ({"drafter_layers": (0,), "dtype": "int8"}, r"`dtype` must be one of .* Got: 'int8'"),
        ({"drafter_layers": (0,), "drafter": "x"}, "exclude each other"),
        ({"drafter_layers": (0,), "layer_map": (1,)}, "`layer_map` needs `tandem`, the file with"),
        ({"primary": "x.pt"}, r"`x\.pt` holds tensors without .* pass `config`, and `map_file` if"),
        ({"map_file": Path("x")}, r"`map_file` names the tensors of a pair, whose `config`"),
        (
            {"config": Path("x"), "drafter": "y"},
            r"`config` describes a whole pair, so `drafter` must not be given",
        ),
        ({"config": Path("x.toml")}, r"`x\.toml`: the file cannot be read\. Got: No such file"),
    ],
    ids=[
        *["no drafter", "no source", "layer", "end token", "dtype", "both", "layer map"],
        *["no config", "map alone", "whole pair", "no config file"],
    ],
)
def test_bad_options_are_one_sentence(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises((CheckpointError, ConfigError), match=message):
        run(tmp_path, **options)
    assert not (tmp_path / "pair").exists()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"projections.0": np.ones((2, 2), np.float32)}, r"holds .* only. Got: 'projections.0'"),
        ({"router.hidden.weight": np.ones((9, 4), np.float32)}, r"1 \+ k \+ k \* D rows"),
        ({"projection.0.weight": np.ones((32, 7), np.float32)}, r"`projection\.0\.weight` must"),
    ],
    ids=["name", "router", "width"],
)
def test_a_bad_tandem_part_is_named(tmp_path: Path, tensors: dict, message: str) -> None:
    part = files.tandem_file(tmp_path / "part.safetensors", 32, 3, **tensors)
    with pytest.raises(CheckpointError, match=message):
        run(tmp_path, drafter=str(files.folder(QWEN)), tandem=part)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    shutil.copytree(files.folder(LLAMA), path)
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pickled weights \(\.bin\) are never loaded"):
        run(tmp_path, primary=str(path), drafter_layers=(0,))
