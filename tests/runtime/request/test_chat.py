from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tandem_export.errors import RequestError
from tandem_export.runtime import ChatTemplate
from tandem_export.runtime.request.chat_process import PROCESS
from tandem_export.runtime.testing import toy_tokenizer

pytest.importorskip("jinja2", reason="chat templates need jinja2 (the extra `chat`)")

MESSAGES = [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c"}]
TEMPLATE = """\
{{ bos_token }}{% for m in messages %}
    {% if m.role not in ("user", "assistant") %}{{ raise_exception("no " ~ m.role) }}{% endif %}
{{ m.content }}
{% endfor %}
{% if add_generation_prompt %}a{% endif %}"""


def template(text: str, begin: int | None = None) -> ChatTemplate:
    return ChatTemplate(text, toy_tokenizer(), begin, (0,))


def test_a_hand_worked_prompt() -> None:
    made = template(TEMPLATE, begin=1)
    assert made.render(MESSAGES) == "aab\nc\na"
    assert made.render(MESSAGES, add_generation_prompt=False) == "aab\nc\n"


def test_ids_have_no_second_begin_token() -> None:
    made = template("{{ bos_token }}{{ messages[0].content }}", begin=1)
    assert made.encode(MESSAGES) == toy_tokenizer().encode("aab", add_special_tokens=False).ids


def test_names_and_filters_of_hugging_face() -> None:
    assert template("[{{ bos_token }}]").render(MESSAGES) == "[]"
    assert template("{{ eos_token }}").render([]) == toy_tokenizer().id_to_token(0)
    assert template("{{ messages[:1] | tojson }}").render(MESSAGES) == (
        '[{"role": "user", "content": "ab"}]'
    )
    assert len(template("{{ strftime_now('%Y') }}").render([])) == 4
    assert template("{% for x in [1, 2] %}{% break %}{% endfor %}b").render([]) == "b"
    assert template("{{ tools is none and documents is none }}").render([]) == "True"
    form = "tojson(ensure_ascii=True, separators=(',', ':'), sort_keys=True)"
    assert template("{{ {'b': 'é', 'a': 1} | " + form + " }}").render([]) == '{"a":1,"b":"\\u00e9"}'
    assert template("{{ {'a': 1} | tojson(indent=1) }}").render([]) == '{\n "a": 1\n}'


def test_generation_blocks_are_what_stands_in_them() -> None:
    marked = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    assert template(marked).render(MESSAGES) == "abc"
    scoped = "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}"
    assert template(scoped).render([]) == "21"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEMPLATE, "no system"),
        ("{% if %}", "Expected an expression"),
        ("{{ messages.__class__.__mro__ }}", "access to attribute '__class__'"),
        ("{{ messages.append(1) }}", "unsafe|not safely callable"),
        ("{{ missing.content }}", "'missing' is undefined"),
        ("{{ 1 + 'a' }}", "TypeError: unsupported operand"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ messages | tojson(indent={}) }}", "TypeError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "it calls itself too deeply"),
        ("{{ ('a' * 3000000000) | length }}", "it needs more memory than a template may have"),
        ("{{ 'a' * 90000000 }}", r"Got: a prompt that is too long"),
    ],
    ids=[
        *("refused", "broken", "escape", "change", "unknown name", "types", "zero", "filter"),
        *("recursion", "memory", "length"),
    ],
)
def test_errors_name_what_went_wrong(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        template(text).render([{"role": "system", "content": "x"}])


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 9 ** (9 ** 9) }}",
        "{% set n = namespace(x=[1]) %}"
        "{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | length == n.x }}"
        "{{ n.x | string | length }}",
    ],
    ids=["loops", "power", "shared lists"],
)
def test_time_has_a_bound_and_the_next_prompt_is_made(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert template("a").render([]) == "a"  # the process has started
    monkeypatch.setattr("tandem_export.runtime.request.chat_process.SECONDS", 0.5)
    with pytest.raises(RequestError, match=r"no prompt in 0\.5 s|more memory|end of its process"):
        template(text).render([])
    monkeypatch.undo()
    assert template("b").render([]) == "b"


def test_threads_take_turns() -> None:
    made = template("{{ messages[0].content }}")
    texts = [str(i) * 100_000 for i in range(8)]
    with ThreadPoolExecutor(8) as threads:
        prompts = threads.map(lambda text: made.render([{"role": "user", "content": text}]), texts)
        assert list(prompts) == texts


def test_a_process_that_was_ended_starts_again() -> None:
    assert template("a").render([]) == "a"
    process = PROCESS._process
    assert process is not None
    process.kill()
    process.wait()
    assert template("b").render([]) == "b"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_fork_has_a_process_of_its_own() -> None:
    assert template("a").render([]) == "a"
    code = (
        "import os\n"
        "from tandem_export.runtime.request.chat_process import PROCESS\n"
        "assert PROCESS.render('a', {}) == 'a'\n"
        "child = os.fork()\n"
        "assert child or PROCESS._process is None\n"
        "assert PROCESS.render('b{{ x }}', {'x': child > 0}) == f'b{child > 0}'\n"
        "if child:\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    assert PROCESS.render('c', {}) == 'c'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (["hello"], r"a list of mappings with `role` and `content`\. Got: \['hello'\]"),
        ("hello", r"a list of mappings with `role` and `content`\. Got: hello"),
        (None, r"a list of mappings with `role` and `content`\. Got: None"),
        ({"role": "user"}, r"a list of mappings with `role` and `content`\. Got: \{'role'"),
        (
            [{"role": "user", "content": b"x"}],
            "messages must be values of JSON. Got: Object of type",
        ),
    ],
)
def test_messages_must_be_messages(messages: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        template("{{ messages }}").render(messages)
