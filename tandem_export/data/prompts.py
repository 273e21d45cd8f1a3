"""The prompts that a bundle is verified and measured with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources

from tokenizers import Tokenizer

from tandem_export.bundle import Bundle
from tandem_export.errors import BundleError, RequestError
from tandem_export.storage import encode_text, load_tokenizer, read_text

Prompt = str | Sequence[int]
_HINT = "Give prompts of your own: a JSON list of texts, or of lists of token ids"


def encode_prompts(
    bundle: Bundle, prompts: Sequence[Prompt] | None, *, count: int, room: int
) -> list[tuple[int, ...]]:
    """Returns `count` prompts as token ids, each cut to its first `room` tokens.

    Args:
      bundle: its tokenizer encodes texts.
      prompts: texts or token ids; None is the held-out Python source that comes with the package.
      count: how many of them, from the first.
      room: positions of the cache that the prompt may take.

    Raises:
      RequestError: too few prompts, no room, or a text that the tokenizer cannot encode.
    """
    texts = _packaged() if prompts is None else prompts
    if not 1 <= count <= len(texts):
        raise RequestError(f"the number of prompts must be within 1 .. {len(texts)}. Got: {count}")
    if room < 1:
        raise RequestError(
            "the cache leaves no room for a prompt beside the new tokens and a draft; lower the "
            f"number of new tokens. Got: {room} positions"
        )
    text = read_text(bundle.tokenizer_path, error=BundleError)
    tokenizer = load_tokenizer(text, error=BundleError)
    pairs = enumerate(texts[:count])
    return [_ids(tokenizer, i, prompt)[:room] for i, prompt in pairs]


def _packaged() -> list[str]:
    file = resources.files("tandem_export.data") / "prompts.json"
    return json.loads(file.read_text(encoding="utf-8"))


def _ids(tokenizer: Tokenizer, index: int, prompt: Prompt) -> tuple[int, ...]:
    if not isinstance(prompt, str):
        return tuple(int(token) for token in prompt)
    ids = encode_text(tokenizer, prompt, what=f"prompt {index}", error=RequestError)
    # One id over and over is how a vocabulary without these words answers.
    if not ids or len(set(ids)) < min(2, len(prompt)):
        raise _not_encoded(index, f"ids {sorted(set(ids))} for {prompt[:20]!r}")
    return tuple(ids)


def _not_encoded(index: int, got: str) -> RequestError:
    return RequestError(
        f"prompt {index}: the bundle's tokenizer cannot encode it. Got: {got}. {_HINT}."
    )
