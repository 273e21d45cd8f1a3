from __future__ import annotations

import pytest

from tandem_export.errors import RequestError
from tandem_export.runtime import ChatTemplate
from tests.runtime.toy import toy_tokenizer

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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEMPLATE, "no system"),
        ("{% if %}", "Expected an expression"),
        ("{{ messages.__class__.__mro__ }}", "access to attribute '__class__'"),
        ("{{ messages.append(1) }}", "unsafe|not safely callable"),
        ("{{ missing.content }}", "'missing' is undefined"),
    ],
    ids=["refused", "broken", "escape", "change", "unknown name"],
)
def test_errors_name_what_went_wrong(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        template(text).render([{"role": "system", "content": "x"}])
