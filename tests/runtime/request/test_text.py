from __future__ import annotations

import pytest

from tandem_export.runtime.request.text import TextStream
from tandem_export.runtime.testing import toy_tokenizer

END, A, B, C, AB, THE, SPACE, E1, E2 = range(9)  # E1 E2: the two bytes of 'é'


def stream(tokens: list[int], stop: tuple[str, ...] = ()) -> tuple[list[str], TextStream]:
    text, deltas = TextStream(toy_tokenizer(), stop), []
    for token in tokens:
        ended = text.push(token)
        deltas.append(text.take())
        if ended:
            break
    text.finish()
    return [*deltas, text.take()], text


def test_a_character_of_two_tokens_comes_whole() -> None:
    deltas, text = stream([A, E1, E2, B])
    assert deltas == ["a", "", "é", "b", ""]
    assert text.text == "aéb"


def test_broken_bytes_come_at_the_end() -> None:
    deltas, text = stream([A, E1])
    assert deltas == ["a", "", "\N{REPLACEMENT CHARACTER}"]
    assert text.text == toy_tokenizer().decode([A, E1])


def test_special_tokens_add_no_text() -> None:
    assert stream([A, END, B])[0] == ["a", "", "b", ""]


@pytest.mark.parametrize(
    ("tokens", "stop", "want"),
    [
        ([A, B, C, A], ("c",), "ab"),
        ([A, B, C, A], ("bc",), "a"),
        ([A, B, C], ("abc",), ""),
        ([C, AB, C], ("bc",), "ca"),
        ([A, E1, E2, B], ("é",), "a"),
        ([A, B, C], ("x", "b", "ab"), ""),
        ([A, B, A, C], ("abc",), "abac"),
    ],
    ids=["one", "across", "from the start", "inside a token", "of bytes", "first of two", "none"],
)
def test_text_is_cut_before_the_stop_string(
    tokens: list[int], stop: tuple[str, ...], want: str
) -> None:
    deltas, text = stream(tokens, stop)
    assert text.text == want
    assert "".join(deltas) == want


def test_what_may_become_a_stop_string_is_held_back() -> None:
    deltas, _ = stream([A, B, A, C], stop=("abc",))
    # 'a', 'ab' may go on to 'abc'; with 'aba' the first two are safe.
    assert deltas == ["", "", "ab", "ac", ""]


def test_push_all_gives_the_same_text() -> None:
    tokens = [THE, SPACE, E1, E2, A, THE, E1]
    one, many = TextStream(toy_tokenizer()), TextStream(toy_tokenizer())
    one.push_all(tokens)
    for token in tokens:
        many.push(token)
    one.finish()
    many.finish()
    assert one.text == many.text == toy_tokenizer().decode(tokens)
