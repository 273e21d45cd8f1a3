"""Chat templates: messages to a prompt, with the jinja template that came with the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, NoReturn

from tokenizers import Tokenizer

from tandem_export.errors import RequestError

Message = Mapping[str, str]


class ChatTemplate:
    """A bundle's chat template.

    The template runs in jinja's sandbox: it sees the messages and the names below, and cannot
    change them or reach anything else. Names and settings are those of Hugging Face's
    `apply_chat_template`: `messages`, `bos_token`, `eos_token`, `add_generation_prompt`,
    `raise_exception`, `strftime_now`, the filter `tojson`; blocks are trimmed.
    """

    def __init__(
        self, text: str, tokenizer: Tokenizer, begin: int | None, ends: Sequence[int]
    ) -> None:
        """Compiles nothing yet: jinja2 is imported on first use.

        Args:
          text: the template.
          tokenizer: of the bundle.
          begin: id of `bos_token`; None makes it empty.
          ends: ids that end an answer; the first is `eos_token`.
        """
        self._text, self._tokenizer = text, tokenizer
        self._names = {
            "bos_token": "" if begin is None else tokenizer.id_to_token(begin),
            "eos_token": tokenizer.id_to_token(ends[0]),
        }

    @cached_property
    def _template(self) -> Any:
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
        return environment.from_string(self._text)

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """The prompt as text; special tokens are written out.

        Args:
          messages: `role` and `content` each.
          add_generation_prompt: end with the beginning of the model's own turn.

        Raises:
          RequestError: the template is broken, refuses the messages, or reaches out of the sandbox.
          ModuleNotFoundError: jinja2 is not installed.
        """
        from jinja2 import TemplateError

        try:
            return self._template.render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=add_generation_prompt,
                **self._names,
            )
        except TemplateError as error:
            raise RequestError(f"the chat template cannot take these messages: {error}") from error

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt as token ids; as `render`."""
        # The template writes the begin token itself.
        return self._tokenizer.encode(self.render(messages), add_special_tokens=False).ids


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)
