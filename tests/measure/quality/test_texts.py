"""Windows and conversations, with tokenizers of whole words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tandem_export.errors import RequestError
from tandem_export.measure.quality.texts import Text, evenly_spread, read_texts
from tandem_export.runtime import ChatTemplate

# As many templates do, it writes something behind the end of an answer, which no pair writes.
TEMPLATE = (
    "{% for m in messages %}{{ {'user': 'U', 'assistant': 'A'}[m.role] }} {{ m.content }} E f "
    "{% endfor %}{% if add_generation_prompt %}A{% endif %}"
)
WORDS = ("a", "b", "c", "d", "e", "f", "U", "A", "E", "B")
F, U, A, E, B = 5, 6, 7, 8, 9


def words(begin: bool = False) -> Tokenizer:
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    if begin:
        tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
            single="B $A", special_tokens=[("B", B)]
        )
    return tokenizer


def read(path: Path, text: str, window: int, *, begin: bool = False) -> list[Text]:
    path.write_text(text, encoding="utf-8")
    tokenizer = words(begin)
    chat = ChatTemplate(TEMPLATE, tokenizer, None, (E,))
    return read_texts(path, tokenizer, chat, window=window, begin=B if begin else None, ends=(E,))


def test_a_text_is_cut_into_windows(tmp_path: Path) -> None:
    found = read(tmp_path / "t.txt", "a b c d e f a b c", 4)
    assert [text.tokens for text in found] == [(0, 1, 2, 3), (4, 5, 0, 1)], "one token is no window"
    assert {(text.first, text.head, text.counted) for text in found} == {(1, 2, 3)}


def test_every_window_has_the_begin_token(tmp_path: Path) -> None:
    found = read(tmp_path / "t.txt", "a b c d e", 4, begin=True)
    assert [text.tokens for text in found] == [(B, 0, 1, 2), (B, 3, 4)]


def conversation(*turns: str) -> str:
    roles = ("user", "assistant") * len(turns)
    messages = [{"role": r, "content": t} for r, t in zip(roles, turns, strict=False)]
    return json.dumps({"messages": messages})


def test_the_last_answer_of_a_conversation_is_counted(tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="chat templates need jinja2 (the extra `chat`)")
    lines = [
        conversation("a b", "c"),
        "",
        conversation("a", "b", "c", "d e"),
        conversation("a", ""),
    ]
    found = read(tmp_path / "t.jsonl", "\n".join(lines), 30)
    assert found[0] == Text(tokens=(U, 0, 1, E, F, A, 2, E), first=6, head=6)
    assert found[1].tokens == (U, 0, E, F, A, 1, E, F, U, 2, E, F, A, 3, 4, E)
    assert found[1].counted == 3 and found[2].counted == 1, "the end token is a part of the answer"


def test_a_conversation_is_cut_and_one_without_an_answer_is_left_out(tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="chat templates need jinja2 (the extra `chat`)")
    lines = [conversation("a", "b c d"), conversation("a b c d", "e")]
    [text] = read(tmp_path / "t.jsonl", "\n".join(lines), 7)
    assert text.tokens == (U, 0, E, F, A, 1, 2)
    with pytest.raises(
        RequestError, match=r"`t.jsonl`: must hold .* within 4 tokens. Got: nothing"
    ):
        read(tmp_path / "t.jsonl", "\n".join(lines), 4)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{", r"`t.jsonl, line 2`: not a JSON document"),
        ("[1]", r"line 2`: must be an object with `messages`.*Got: \[1\]"),
        (conversation("a"), r"of which the last is the assistant's"),
        (conversation("a", "b", "c"), r"of which the last is the assistant's"),
        ('{"messages": [{"role": "user"}, {"role": "assistant"}]}', r"`role` and `content`"),
    ],
)
def test_what_is_no_conversation_is_named(line: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=text):
        read(tmp_path / "t.jsonl", f"{conversation('a', 'b')}\n{line}", 30)


def test_conversations_need_a_template_that_only_adds(tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="chat templates need jinja2 (the extra `chat`)")
    path, tokenizer = tmp_path / "t.jsonl", words()
    path.write_text(conversation("a", "b"))
    with pytest.raises(RequestError, match=r"need a bundle with a chat template. Give a plain"):
        read_texts(path, tokenizer, None, window=9, begin=None, ends=())
    counts = ChatTemplate(
        "{{ messages | length }} {{ messages[0].content }}", tokenizer, None, (E,)
    )
    with pytest.raises(
        RequestError, match=r"line 1`: with its answer, .* must begin as its prompt"
    ):
        read_texts(path, tokenizer, counts, window=9, begin=None, ends=())


@pytest.mark.parametrize("text", ["", "a"])
def test_an_empty_text_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"a text of at least two tokens"):
        read(tmp_path / "t.txt", text, 4)


def test_texts_come_from_all_over_the_file() -> None:
    texts = [Text(tokens=(i, 0, 0), first=1, head=1) for i in range(10)]
    assert [text.tokens[0] for text in evenly_spread(texts, 6)] == [0, 4, 9]
    assert len(evenly_spread(texts, 1)) == 1 and evenly_spread(texts, 1000) == texts
