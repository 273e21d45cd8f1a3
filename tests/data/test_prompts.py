from __future__ import annotations

import json
from importlib import resources

import pytest

from tandem_export.bundle import open_bundle
from tandem_export.errors import RequestError
from tandem_export.parity import encode_prompts
from tests.parity.bundles import shared_bundle


def encode(prompts, count: int = 1, room: int = 8):
    return encode_prompts(open_bundle(shared_bundle()), prompts, count=count, room=room)


def test_texts_and_ids_are_cut_to_the_room() -> None:
    assert encode(["w1 w2 w3", [4, 5, 6]], count=2, room=2) == [(1, 2), (4, 5)]


@pytest.mark.parametrize(
    ("prompts", "options", "text"),
    [
        ([[1]], {"count": 2}, "number of prompts must be within 1 .. 1. Got: 2"),
        ([[1]], {"room": 0}, "leaves no room for a prompt"),
        (["def f(x): return"], {}, "prompt 0: the bundle's tokenizer cannot encode it. Got: ids"),
        ([""], {}, "prompt 0: the bundle's tokenizer cannot encode it"),
    ],
    ids=["count", "room", "unknown-words", "empty"],
)
def test_errors(prompts, options, text) -> None:
    with pytest.raises(RequestError) as raised:
        encode(prompts, **options)
    assert text in str(raised.value)


def test_the_defaults_are_texts() -> None:
    file = resources.files("tandem_export.data") / "prompts.json"
    prompts = json.loads(file.read_text(encoding="utf-8"))
    assert len(prompts) >= 64 and all(isinstance(prompt, str) and prompt for prompt in prompts)
