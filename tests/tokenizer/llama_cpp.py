"""llama.cpp's two ways of merging, in plain Python: by scores, and by the list of a byte BPE."""

from __future__ import annotations

import heapq
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise

SPACE = "\u2581"


def encode(
    text: str,
    ids: Mapping[str, int],
    scores: Sequence[float],
    special: Mapping[str, int],
    *,
    prefix: bool,
) -> list[int]:
    """Token ids; `special` texts are cut out first, the longest first."""
    fragments: list[tuple[str, int | None]] = [(text, None)]
    for found in sorted(special, key=len, reverse=True):
        fragments = [piece for each in fragments for piece in _cut(each, found, special[found])]
    tokens = []
    for piece, token in fragments:
        before = SPACE if prefix and piece else ""
        whole = (before + piece).replace(" ", SPACE)
        tokens += [token] if token is not None else _merge(whole, ids, scores)
    return tokens


def _cut(fragment: tuple[str, int | None], found: str, token: int) -> list[tuple[str, int | None]]:
    text, own = fragment
    if own is not None or found not in text:
        return [fragment]
    left, right = text.split(found, 1)
    rest = _cut((right, None), found, token)
    return [pair for pair in [(left, None), (found, token), *rest] if pair != ("", None)]


def _merge(text: str, ids: Mapping[str, int], scores: Sequence[float]) -> list[int]:
    symbols = list(text)
    before = [i - 1 for i in range(len(symbols))]
    after = [*range(1, len(symbols)), -1]
    queue: list[tuple[float, int, int, int]] = []

    def propose(left: int, right: int) -> None:
        if left < 0 or right < 0:
            return
        both = symbols[left] + symbols[right]
        if both in ids:
            heapq.heappush(queue, (-scores[ids[both]], left, right, len(both)))

    for i in range(1, len(symbols)):
        propose(i - 1, i)
    while queue:
        _, left, right, size = heapq.heappop(queue)
        if not symbols[left] or not symbols[right]:
            continue
        if len(symbols[left]) + len(symbols[right]) != size:
            continue  # one of the two was merged with another since
        symbols[left], symbols[right] = symbols[left] + symbols[right], ""
        after[left] = after[right]
        if after[right] >= 0:
            before[after[right]] = left
        propose(before[left], left)
        propose(left, after[left])
    return [token for symbol in symbols if symbol for token in _ids(symbol, ids)]


def _ids(symbol: str, ids: Mapping[str, int]) -> list[int]:
    if symbol in ids:
        return [ids[symbol]]
    return [ids[f"<0x{byte:02X}>"] for byte in symbol.encode()]


def encode_bytes(
    text: str,
    ids: Mapping[str, int],
    ranks: Mapping[tuple[str, ...], int],
    special: Mapping[str, int],
) -> list[int]:
    """Token ids of SmolLM's byte-level BPE (`llm_tokenizer_bpe_session`).

    Args:
      text: any text.
      ids: token -> id, tokens in GPT-2's letters for bytes.
      ranks: pair of tokens -> place among the merges.
      special: tokens that are found in the text as they are.
    """
    fragments: list[tuple[str, int | None]] = [(text, None)]
    for found in sorted(special, key=len, reverse=True):
        fragments = [piece for each in fragments for piece in _cut(each, found, special[found])]
    tokens = []
    for piece, token in fragments:
        words = [] if token is not None else _words(piece)
        tokens += [ids[t] for w in words for t in _merge_bytes(w, ranks)]
        tokens += [] if token is None else [token]
    return tokens


def _words(text: str) -> list[str]:
    """The words of `tokenizer.ggml.pre` = smollm: digits one by one, then those of GPT-2."""
    words, at = [], 0
    for end in range(len(text) + 1):
        if end == len(text) or _kind(text[end]) == "N":
            words += [*_gpt2_words(text[at:end]), *text[end : end + 1]]
            at = end + 1
    return words


def _gpt2_words(text: str) -> list[str]:
    """Contractions; letters, or others, after a space; spaces but the one before a word."""
    words, at = [], 0
    while at < len(text):
        end = _gpt2_end(text, at)
        words.append(text[at:end])
        at = end
    return words


def _gpt2_end(text: str, at: int) -> int:
    for suffix in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d"):
        if text.startswith(suffix, at):
            return at + len(suffix)
    first = at + 1 if text[at] == " " and _kind(text[at + 1 : at + 2]) in "LO" else at
    kind, end = _kind(text[first]), first
    while end < len(text) and _kind(text[end]) == kind:
        end += 1
    return end - 1 if kind == "S" and end < len(text) and end - at > 1 else end


def _kind(letter: str) -> str:
    """`L`etter, `N`umber, `S`pace, `O`ther; of no letter a space."""
    if not letter or letter.isspace():
        return "S"
    category = unicodedata.category(letter)[0]
    return category if category in "LN" else "O"


def _merge_bytes(word: str, ranks: Mapping[tuple[str, ...], int]) -> list[str]:
    symbols = [_LETTERS[byte] for byte in word.encode()]
    while len(symbols) > 1:
        pairs = list(pairwise(symbols))
        best = min(range(len(pairs)), key=lambda i: ranks.get(pairs[i], len(ranks)))
        if pairs[best] not in ranks:
            break
        symbols[best : best + 2] = ["".join(pairs[best])]
    return symbols


def _letters() -> list[str]:
    """GPT-2's letter for each byte: itself where it is printable, else one from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


_LETTERS = _letters()
