"""Tokens beside the vocabulary: those that other files add, those that no row stands for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from tandem_export.errors import CheckpointError
from tandem_export.tokenizer import read_hugging_face, within_rows
from tests.importing import files

WORDS = ["<pad>", "<bos>", "<eos>", "w3", "w4"]


def folder(tmp_path: Path, settings: dict[str, Any], listed: dict[str, Any] | None = None) -> Path:
    (tmp_path / "tokenizer.json").write_text(files.tokenizer(WORDS).to_str(), encoding="utf-8")
    files.json_file(tmp_path / "tokenizer_config.json", settings)
    if listed is not None:
        files.json_file(tmp_path / "added_tokens.json", listed)
    return tmp_path


def ids(path: Path, text: str) -> list[int]:
    read = read_hugging_face(path)
    assert read is not None
    return Tokenizer.from_str(read.tokenizer_json).encode(text).ids


def decoder(**tokens: str) -> dict[str, Any]:
    entries = {
        i.removeprefix("t"): {"content": text, "special": True} for i, text in tokens.items()
    }
    return {"added_tokens_decoder": entries}


def test_tokens_that_only_the_settings_name_are_known(tmp_path: Path) -> None:
    path = folder(tmp_path, decoder(t0="<pad>", t5="<turn>", t6="<end>") | {"eos_token": "<end>"})
    assert ids(path, "w3<turn>w4<end>") == [1, 3, 5, 4, 6]
    read = read_hugging_face(path)
    assert read is not None and read.end_tokens == (6,)


def test_tokens_that_only_added_tokens_names_are_known(tmp_path: Path) -> None:
    path = folder(tmp_path, decoder(t5="<turn>"), {"<turn>": 5, "<tool>": 6})
    assert ids(path, "w3<tool><turn>") == [1, 3, 6, 5]


def test_the_tokenizer_itself_goes_before_the_settings(tmp_path: Path) -> None:
    """Another text for an id that is taken, and another id for a text that is known."""
    path = folder(tmp_path, decoder(t3="<turn>", t5="w4"))
    before = (path / "tokenizer.json").read_text()
    read = read_hugging_face(path)
    assert read is not None and read.tokenizer_json == before


@pytest.mark.parametrize(
    ("settings", "listed", "message"),
    [
        (decoder(t6="<turn>"), None, "must have the ids from 5 on, none left out. Got: [6]"),
        ({"added_tokens_decoder": ["<turn>"]}, None, "`added_tokens_decoder` must be an object"),
        (
            {"added_tokens_decoder": {"x": {"content": "a"}}},
            None,
            "must lie in 0 .. 16777215. Got: x",
        ),
        ({"added_tokens_decoder": {"5": {}}}, None, "must give token 5 a text in `content`"),
        ({}, {"<turn>": -1}, "`added_tokens.json`: ids must lie in 0 .. 16777215. Got: -1"),
        ({}, {"<turn>": True}, "`added_tokens.json`: ids must lie in 0 .. 16777215. Got: True"),
        ({"chat_template": {"a": 1}}, None, "`chat_template` must be a text, or a list of"),
    ],
)
def test_what_is_none_of_them_is_refused(
    tmp_path: Path, settings: dict, listed: dict | None, message: str
) -> None:
    with pytest.raises(CheckpointError) as raised:
        read_hugging_face(folder(tmp_path, settings, listed))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("templates", "want"),
    [
        ([{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}], "d"),
        ([{"name": []}, 1], None),
    ],
)
def test_of_named_templates_the_default_is_taken(
    tmp_path: Path, templates: list, want: str | None
) -> None:
    read = read_hugging_face(folder(tmp_path, {"chat_template": templates}))
    assert read is not None and read.chat_template == want


def test_end_tokens_are_ids(tmp_path: Path) -> None:
    path = folder(tmp_path, {})
    files.json_file(path / "generation_config.json", {"eos_token_id": ["2"]})
    with pytest.raises(CheckpointError, match=r"`generation_config\.json`: `eos_token_id` must be"):
        read_hugging_face(path)


def test_only_what_was_added_to_a_vocabulary_may_lack_a_row() -> None:
    tokenizer = files.tokenizer(WORDS)
    tokenizer.add_special_tokens(["<image>"])
    text, dropped = within_rows(tokenizer.to_str(), 5)
    assert dropped == {5: "<image>"}
    assert Tokenizer.from_str(text).encode("w3 <image> w4").ids == [1, 3, 0, 4]
    assert within_rows(text, 5) == (text, {})
    with pytest.raises(CheckpointError, match=r"has 4 rows\. Got: 6 tokens, and 'w4' is one"):
        within_rows(tokenizer.to_str(), 4)


def test_a_token_in_both_lists_is_left_out_of_both() -> None:
    values = json.loads(files.tokenizer([*WORDS, "<image>"]).to_str())
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    values["added_tokens"] = [{"id": 5, "content": "<image>", "special": True, **flags}]
    text, dropped = within_rows(json.dumps(values), 5)
    assert dropped == {5: "<image>"} and len(json.loads(text)["model"]["vocab"]) == 5


def test_a_token_around_every_text_must_have_a_row() -> None:
    values = json.loads(files.tokenizer(WORDS).to_str())
    tokenizer = Tokenizer.from_str(json.dumps(values | {"post_processor": None}))
    tokenizer.add_special_tokens(["<start>"])
    values = json.loads(tokenizer.to_str())
    start, first, second = (
        {kind: {"id": name, "type_id": 0}}
        for kind, name in (("SpecialToken", "<start>"), ("Sequence", "A"), ("Sequence", "B"))
    )
    values["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [start, first],
        "pair": [first, second],
        "special_tokens": {"<start>": {"id": "<start>", "ids": [5], "tokens": ["<start>"]}},
    }
    with pytest.raises(CheckpointError, match=r"puts a token around every text .* Got: ids \[5"):
        within_rows(json.dumps(values), 5)
