"""Chat templates: messages to a prompt, with the jinja template that came with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tokenizers import Tokenizer

from tandem_export.errors import RequestError
from tandem_export.runtime.request.chat_process import PROCESS
from tandem_export.storage import encode_text

Message = Mapping[str, Any]


def _are_messages(values: object) -> bool:
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        return False
    return all(isinstance(value, Mapping) for value in cast("Sequence[object]", values))


class ChatTemplate:
    """A bundle's chat template.

    The template runs in jinja's sandbox, in a process of its own with bounds on time and memory: it
    sees the messages and the names below, and cannot change them or reach anything else. Names and
    settings are those of Hugging Face's `apply_chat_template`: `messages`, `tools` and `documents`
    (None), `bos_token`, `eos_token`, `add_generation_prompt`, `raise_exception`, `strftime_now`,
    the filter `tojson`, the tag `generation`; blocks are trimmed.
    """

    def __init__(
        self, text: str, tokenizer: Tokenizer, begin: int | None, ends: Sequence[int]
    ) -> None:
        """Compiles nothing yet.

        Args:
          text: the template.
          tokenizer: of the bundle.
          begin: id of `bos_token`, unless the template sets it; None makes it empty.
          ends: ids that end an answer; the first is `eos_token`, unless the template sets it.
        """
        self._text, self._tokenizer = text, tokenizer
        self._names = {
            "bos_token": "" if begin is None else tokenizer.id_to_token(begin),
            "eos_token": tokenizer.id_to_token(ends[0]),
            "tools": None,
            "documents": None,
        }

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """Returns the prompt as text; special tokens are written out.

        Args:
          messages: `role` and `content` each.
          add_generation_prompt: end with the beginning of the model's own turn.

        Raises:
          RequestError: the template is broken, refuses the messages, reaches out of the sandbox, or
            takes too long or too much memory.
          ModuleNotFoundError: jinja2 is not installed.
        """
        if not _are_messages(messages):
            rule = "messages must be a list of mappings with `role` and `content`"
            raise RequestError(f"{rule}. Got: {str(messages)[:80]}")
        names = {
            **self._names,
            "messages": [dict(message) for message in messages],
            "add_generation_prompt": add_generation_prompt,
        }
        return PROCESS.render(self._text, names)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Returns the prompt as token ids; as `render`."""
        # The template writes the begin token itself.
        return encode_text(
            self._tokenizer,
            self.render(messages),
            what="the prompt that the chat template made",
            error=RequestError,
            special=False,
        )
