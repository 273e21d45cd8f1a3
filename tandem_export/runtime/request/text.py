"""Text out of tokens as they come: whole characters only, cut before a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from tandem_export.errors import RequestError
from tandem_export.storage import native_errors

_BROKEN = "\N{REPLACEMENT CHARACTER}"


class TextStream:
    """Decodes one answer token by token.

    Tokens are decoded together with the few before them, because some decoders drop the first
    space of what they get; text that ends inside a character waits for the rest of it.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._longest = max((len(s) for s in stop), default=0)
        self._tokens: list[int] = []
        self._context = 0  # tokens[context:read] are decoded again with what follows
        self._read = 0
        self._shown = 0
        self.text = ""
        self.stopped = False

    def push(self, token: int, *, may_stop: bool = True) -> bool:
        """Adds a token; returns whether it completes a stop string, before which the text is cut.

        Unless `may_stop`, a stop string that it completes stays in the text.
        """
        self._tokens.append(token)
        fresh = self._fresh()
        if not fresh or fresh.endswith(_BROKEN):
            return False
        return self._append(fresh, may_stop=may_stop)

    def push_all(self, tokens: Sequence[int]) -> None:
        """Adds tokens at once, where nobody waits for stop strings or text between them."""
        self._tokens.extend(tokens)
        self._append(self._fresh())

    def finish(self) -> None:
        """Adds what still waits: bytes that never became a character."""
        if not self.stopped:
            self._append(self._fresh())
        self.stopped = True

    def take(self) -> str:
        """Returns the text since the last call, less what may still turn into a stop string."""
        end = len(self.text) - (0 if self.stopped else self._held_back())
        delta = self.text[self._shown : end]
        self._shown = max(self._shown, end)
        return delta

    def _fresh(self) -> str:
        before = self._decode(self._tokens[self._context : self._read])
        return self._decode(self._tokens[self._context :])[len(before) :]

    def _decode(self, tokens: list[int]) -> str:
        with native_errors("the answer's tokens cannot be decoded", RequestError):
            return self._tokenizer.decode(tokens, skip_special_tokens=True)

    def _append(self, fresh: str, *, may_stop: bool = True) -> bool:
        start = max(0, len(self.text) - self._longest + 1)
        self.text += fresh
        self._context, self._read = self._read, len(self._tokens)
        found = [at for s in self._stop if (at := self.text.find(s, start)) >= 0]
        if found and may_stop:
            self.text = self.text[: min(found)]
            self.stopped = True
        return self.stopped

    def _held_back(self) -> int:
        """Returns the length of the longest end of the text that begins a stop string."""
        longest = min(self._longest - 1, len(self.text))
        tails = range(longest, 0, -1)
        return next((n for n in tails if any(s.startswith(self.text[-n:]) for s in self._stop)), 0)


def token_texts(stream: TextStream, tokens: Sequence[int]) -> list[str]:
    """Returns what each token adds to `stream`'s text; a character comes with its last byte."""
    texts = list[str]()
    for token in tokens:
        before = len(stream.text)
        stream.push(token)
        texts.append(stream.text[before:])
    return texts
