"""Chat templates, and the messages that come with a request."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models

from tandem_export.runtime.request import chat_process
from tandem_export.runtime.request.chat import ChatTemplate
from tests.fuzz.mutate import ODD, change_values, odd

_GOOD = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}<u>{{ m['content'] | trim }}"
    "{% elif m['role'] == 'assistant' %}<a>{{ m.content }}{{ eos_token }}"
    "{% else %}{{ raise_exception('no') }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)
_PIECES = (
    "{{ ",
    " }}",
    "{% ",
    " %}",
    "messages",
    "[0]",
    "[99]",
    ".content",
    "['role']",
    "| tojson",
    "| trim",
    "| length",
    "* 3000000000",
    "'a'",
    "1",
    "+ 'a'",
    "for x in range(99999999)",
    "endfor",
    "if",
    "endif",
    "set x = ",
    "namespace(x=1)",
    "strftime_now('%Y')",
    "strftime_now(1)",
    "raise_exception('x')",
    "''.__class__.__mro__",
    "cycler()",
    "macro f()",
    "f()",
    "endmacro",
    "include '/etc/hostname'",
    "| attr('__class__')",
    "1/0",
    "[[]] * 9",
    "| join",
    "| sort",
    "| map('upper')",
    "| batch(0)",
    "loop.x",
    "generation",
    "endgeneration",
    "break",
    "continue",
    "'%s' % 1",
    "'{}'.format(x)",
    "| int",
    "~",
    "| e",
    "| round(99999)",
    "2 ** 99999999",
    "'%99999999d' % 1",
    "| center(99999999)",
    "lipsum(99999)",
    "\u0000",
)
MESSAGES: list[Any] = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hi"},
    {"role": "user", "content": "more"},
]


def prepare(folder: Path) -> Any:
    del folder
    chat_process.SECONDS = 0.5  # many cases run for as long as they may
    words = {"<eos>": 0, "hello": 1, "hi": 2}
    return Tokenizer(models.WordLevel(words, unk_token="<eos>"))


def template(rng: random.Random, folder: Path, material: Any) -> None:
    del folder
    if rng.random() < 0.5:
        pieces = [rng.choice(_PIECES) for _ in range(rng.randrange(1, 12))]
        text = " ".join(("{{", *pieces, "}}") if rng.random() < 0.5 else pieces)
    else:
        at, piece = rng.randrange(len(_GOOD)), rng.choice(_PIECES)
        text = _GOOD[:at] + piece + _GOOD[at + rng.choice((0, 1, 9)) :]
    ChatTemplate(text, material, None, (0,)).encode(MESSAGES[1:2])


def request(rng: random.Random, folder: Path, material: Any) -> None:
    del folder
    messages = change_values(rng, MESSAGES) if rng.random() < 0.9 else odd(rng)
    if rng.random() < 0.05:
        messages = [{"role": "user", "content": rng.choice(("\ud800", b"x", *ODD))}]
    ChatTemplate(_GOOD, material, None, (0,)).encode(messages)
