"""The special tokens that a chat template names are those of the tokenizer's own settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models

from tandem_export.runtime import ChatTemplate
from tandem_export.tokenizer import begin_token, read_hugging_face, with_special

pytest.importorskip("jinja2", reason="chat templates need jinja2 (the extra `chat`)")

SPECIAL = ["<bos>", "<eos>", "<end>", "<pad>"]


def folder(path: Path, template: str, **settings: Any) -> Path:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    tokenizer.enable_truncation(2)
    (path / "tokenizer.json").write_text(tokenizer.to_str())
    settings = {"bos_token": "<bos>", "eos_token": "<end>", "chat_template": template} | settings
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    (path / "generation_config.json").write_text('{"eos_token_id": [2, 3]}')
    return path


def rendered(path: Path) -> str:
    """As a loaded bundle renders it."""
    text = read_hugging_face(path)
    assert text is not None
    tokenizer = Tokenizer.from_str(text.tokenizer_json)
    begin = begin_token(text.tokenizer_json)
    return ChatTemplate(text.chat_template or "", tokenizer, begin, text.end_tokens).render([])


def test_begin_token_that_the_tokenizer_itself_does_not_add(tmp_path: Path) -> None:
    assert rendered(folder(tmp_path, "{{ bos_token }}a")) == "<bos>a"


def test_end_token_is_not_the_first_that_ends_a_text(tmp_path: Path) -> None:
    assert rendered(folder(tmp_path, "a{{ eos_token }}")) == "a<end>"


def test_padding_and_unknown_tokens_as_records(tmp_path: Path) -> None:
    path = folder(tmp_path, "{{ pad_token }}{{ unk_token }}", pad_token={"content": "<pad>"})
    (path / "special_tokens_map.json").write_text('{"unk_token": "a", "pad_token": "<eos>"}')
    assert rendered(path) == "<pad>a"


def test_truncation_of_the_training_is_left_out(tmp_path: Path) -> None:
    text = read_hugging_face(folder(tmp_path, ""))
    assert text is not None and Tokenizer.from_str(text.tokenizer_json).truncation is None


@pytest.mark.parametrize(
    "template",
    [
        "{{ eos_token }}",
        "\n{{ eos_token }}\n",
        "  {% if eos_token %}\nx{% endif %}",
        "{{- eos_token }}",
    ],
)
def test_a_template_renders_as_if_it_were_given_the_names(template: str) -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    text = 'q"\\n\n\U0001f600é'
    headed = with_special(template, {"eos_token": text, "bos_token": "x"})
    assert headed is not None and "bos_token" not in headed
    want = environment.from_string(template).render(eos_token=text)
    assert environment.from_string(headed).render(eos_token="other") == want


def test_what_names_none_is_itself() -> None:
    assert with_special("{{ messages }}", {"eos_token": "x"}) == "{{ messages }}"
    assert with_special(None, {"eos_token": "x"}) is None
