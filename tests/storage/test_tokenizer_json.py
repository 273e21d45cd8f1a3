"""A tokenizer.json from outside loads, or is one error: it neither aborts nor panics nor grows."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tandem_export.errors import CheckpointError, RequestError
from tandem_export.storage import encode_text, load_tokenizer, native_errors, tokenizer_text

SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}


def described(**changed: Any) -> str:
    """A byte-level BPE with three merges, and other parts."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, "he", "ll", "hell"]
    merges = [("h", "e"), ("l", "l"), ("he", "ll")]
    tokenizer = Tokenizer(models.BPE({text: i for i, text in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    values = json.loads(tokenizer.to_str())
    model = values["model"] | changed.pop("model", {})
    return json.dumps(values | {"model": model} | changed)


def replace(content: str, times: int, key: str, **pattern: str) -> dict[str, Any]:
    step = {"type": "Replace", "pattern": pattern or {"String": "a"}, "content": content}
    return {"type": "Sequence", key: [step] * times}


def load(text: str) -> Tokenizer:
    return load_tokenizer(text, error=CheckpointError)


def test_a_plain_one_is_itself() -> None:
    assert load(described()).encode("hello").tokens == ["hell", "o"]
    assert tokenizer_text(described(), error=CheckpointError) == described()


@pytest.mark.parametrize(
    "changed",
    [
        {
            "truncation": {
                "direction": "Right",
                "max_length": 2,
                "strategy": "LongestFirst",
                "stride": 0,
            }
        },
        {
            "truncation": {
                "direction": "Right",
                "max_length": 2,
                "strategy": "LongestFirst",
                "stride": 9,
            }
        },
        {
            "padding": {
                "strategy": {"Fixed": 2**40},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "!",
            }
        },
    ],
    ids=["cut", "cut that panics", "padding that aborts"],
)
def test_truncation_and_padding_are_left_out(changed: dict[str, Any]) -> None:
    assert load(described(**changed)).encode("hello").tokens == ["hell", "o"]
    plain = Tokenizer.from_str(tokenizer_text(described(**changed), error=CheckpointError))
    assert plain.encode("hello").tokens == ["hell", "o"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must hold a JSON object with a `model`"),
        ("{}", "must hold a JSON object with a `model`"),
        ("{", "`tokenizer.json`: not a JSON document"),
        (described(model={"type": "none"}), "not a tokenizer of the `tokenizers` library: "),
        (described(model={"continuing_subword_prefix": "e"}), "of a BPE must be empty"),
        (described(model={"continuing_subword_prefix": "é"}), "of a BPE must be empty"),
        (
            described(model={"vocab": {"a": 2**32 - 1}}),
            "token ids must lie in 0 .. 16777215. Got: 4",
        ),
        (described(model={"vocab": {"a": 0.5}}), "token ids must lie in 0 .. 16777215. Got: 0.5"),
        (described(added_tokens=[{"id": 2**31}]), "token ids must lie in 0 .. 16777215. Got: 2147"),
        (
            described(normalizer=replace("aa", 40, "normalizers")),
            "`normalizer` must have at most 64",
        ),
        (described(decoder=replace("aa", 36, "decoders")), "Got: 36 steps, 6.87195e+10 times"),
        (described(decoder=replace("a", 65, "decoders")), "Got: 65 steps, 1 times"),
        (described(normalizer=replace("x" * 300, 1, "normalizers", Regex=".")), "300 times"),
        (described(normalizer=replace("a", 1, "normalizers", String="")), "must not be empty"),
        (described(normalizer=replace("a", 1, "normalizers", Regex="(?=)")), "in its native code"),
        (described(normalizer={"type": "Prepend", "prepend": ""}), "`prepend` must not be empty"),
        (
            described(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////wAAAAA="}),
            "must begin with the length of its table, in 8 bytes. Got: 4294967295",
        ),
        (
            described(normalizer={"type": "Precompiled", "precompiled_charsmap": "é"}),
            "`precompiled_charsmap` must be base64",
        ),
        (
            described(
                normalizer={
                    "type": "Precompiled",
                    "precompiled_charsmap": base64.b64encode(b"\4\0\0\0" + b"\xff" * 4).decode(),
                }
            ),
            "the tokenizer must encode and decode a text. Got: a fault in its native code",
        ),
        (
            described(pre_tokenizer={"type": "FixedLength", "length": 0}),
            "a fault in its native code",
        ),
    ],
)
def test_what_would_abort_panic_or_grow_is_named(text: str, message: str) -> None:
    with pytest.raises(CheckpointError) as raised:
        load(text)
    assert message in str(raised.value)


def test_a_text_that_the_native_code_gives_up_on_is_the_callers_error() -> None:
    tokenizer = load(described(pre_tokenizer=SPLIT | {"pattern": {"Regex": "(x+x+)+y"}}))
    for text, message in (
        ("x" * 4000, r"prompt 0 cannot be encoded\. Got: a fault in its native code: Onig"),
        (
            "ab\udcff",
            r"must be a text that UTF-8 can write\. Got: half of a surrogate pair at .* 2",
        ),
    ):
        with pytest.raises(RequestError, match=message):
            encode_text(tokenizer, text, what="prompt 0", error=RequestError)
    with pytest.raises(KeyboardInterrupt), native_errors("prompt 2", RequestError):
        raise KeyboardInterrupt


def test_a_vocabulary_may_lack_words() -> None:
    words = Tokenizer(models.WordLevel({"w": 0}, unk_token="?"))
    assert load(words.to_str()).encode("w").ids == [0]
