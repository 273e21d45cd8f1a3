"""llama.cpp's score-based merging (`llm_tokenizer_spm_session`), in plain Python."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

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
