"""The page that shows where each token of an answer comes from: live, or of one answer in a file.

It is one file that asks no other host for anything. The live one talks to the server it came from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template

from tokenizers import Tokenizer

from tandem_export.runtime import Delta, TextStream, token_texts

__all__ = ["answer_page", "live_page"]


def live_page() -> str:
    """Returns the page that a server answers `/` with."""
    return _page(
        title="A tandem of two models",
        model="",
        form=_file("form.html"),
        prompt="",
        script=_file("picture.js") + _file("live.js"),
    )


def answer_page(
    deltas: Sequence[Delta], tokenizer: Tokenizer, *, prompt: str, model: str, seconds: float
) -> str:
    """Returns the page of one answer that has ended.

    Args:
      deltas: all of the answer's.
      tokenizer: which wrote its tokens.
      prompt: the text before it.
      model: the bundle's name.
      seconds: that it took.
    """
    stream = TextStream(tokenizer)
    rounds = [
        {
            "texts": token_texts(stream, delta.tokens),
            "accepted": delta.accepted,
            "drafted": delta.drafted,
        }
        for delta in deltas
        if delta.tokens
    ]
    draw = f"clearPicture();\nROUNDS.forEach(drawRound);\ndrawNumbers({seconds:.4f});\n"
    return _page(
        title="One answer of a tandem of two models",
        model=escape(model),
        form="",
        prompt=f'<pre class="quiet">{escape(prompt)}</pre>',
        script=_file("picture.js") + f"const ROUNDS = {_json(rounds)};\n{draw}",
    )


def _json(value: object) -> str:
    """Returns JSON that may stand in a script: no text in it can end the script."""
    return json.dumps(value).replace("<", "\\u003c")


def _page(**parts: str) -> str:
    return Template(_file("page.html")).substitute(parts, style=_file("style.css"))


def _file(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")
