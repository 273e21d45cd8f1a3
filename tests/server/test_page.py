"""The page, as text: it is whole, asks no other host, and no token can break out of it."""

from __future__ import annotations

import dataclasses
import json
import re

import httpx
import pytest

from tandem_export.page import answer_page, live_page
from tandem_export.runtime import Delta, SamplingParams
from tandem_export.runtime.testing import toy_tokenizer
from tests.server.running import served_engine, serving


def an_answer(prompt: str = "abc the", **options: object) -> tuple[list[Delta], str]:
    engine, _ = served_engine()
    params = SamplingParams(max_new_tokens=20, **options)  # pyright: ignore[reportArgumentType]
    deltas = list(engine.stream(prompt, params))
    page = answer_page(deltas, toy_tokenizer(), prompt=prompt, model="toy", seconds=0.5)
    return deltas, page


@pytest.mark.parametrize("page", [live_page(), an_answer()[1]], ids=["live", "answer"])
def test_it_asks_no_other_host(page: str) -> None:
    assert page.startswith("<!doctype html>") and "$" not in re.sub(r"\$\{", "", page)
    assert re.findall(r"""(?:src|href)=["']?([^"'> ]+)""", page) == ["data:,"]
    assert not re.findall(r"https?://|@import|url\(", page)


def test_a_file_has_the_rounds_of_the_answer() -> None:
    deltas, page = an_answer()
    rounds = json.loads(re.search(r"const ROUNDS = (.*);", page)[1])  # pyright: ignore
    assert "".join(text for r in rounds for text in r["texts"]) == "".join(d.text for d in deltas)
    assert [r["accepted"] for r in rounds] == [d.accepted for d in deltas]
    assert [r["drafted"] for r in rounds] == [d.drafted for d in deltas]
    assert {len(r["texts"]) - r["accepted"] for r in rounds} <= {0, 1}


def test_no_text_ends_the_script_or_begins_a_tag() -> None:
    evil = "</script><script>alert(1)</script><b>"
    delta = Delta(
        request=0, sample=0, text="!", tokens=(11,), logprobs=None, accepted=0, drafted=1,
        finish_reason="length",
    )  # fmt: skip
    tokenizer = toy_tokenizer()
    tokenizer.add_tokens([evil])
    inside = dataclasses.replace(delta, tokens=(tokenizer.token_to_id(evil) or 0,))
    page = answer_page(
        [delta, inside], tokenizer,
        prompt=evil, model=evil, seconds=1.0,
    )  # fmt: skip
    assert page.count("<script>") == page.count("</script>") == 1
    assert "<b>" not in page.split("<pre", 1)[1].split("</pre>")[0]
    assert "\\u003c/script>\\u003cscript>alert" in page


def test_the_server_sends_it() -> None:
    with serving(served_engine()[0]) as address:
        answer = httpx.get(address)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    assert answer.text == live_page()
