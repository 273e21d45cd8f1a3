"""Where the drafter comes from, and how its vocabulary meets the primary's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tandem_export.errors import CheckpointError
from tandem_export.importing.lazy import LazyTensor, lazy
from tandem_export.importing.source import Source
from tandem_export.jsontypes import JsonObject
from tandem_export.tokenizer import added_texts, token_texts

_SHOWN = 4


def copied_layers(primary: Source, layers: Sequence[int]) -> Source:
    """Returns a drafter of some of the primary's layers, with its embedding, final norm and head.

    Raises:
      CheckpointError: a layer that the primary does not have.
    """
    depth = primary.config.num_layers
    wrong = [layer for layer in layers if not 0 <= layer < depth]
    if wrong:
        raise CheckpointError(
            f"`drafter_layers` must lie in 0 .. {depth - 1}, the primary's. Got: {wrong[0]}"
        )
    config = primary.config
    window = (
        {"window_pattern": tuple(config.is_local(layer) for layer in layers)}
        if any(config.is_local(layer) for layer in layers)
        else {"sliding_window": None, "window_pattern": ()}
    )
    tensors = {n: t for n, t in primary.tensors.items() if not n.startswith("layers.")}
    for j, layer in enumerate(layers):
        old = f"layers.{layer}."
        new = {n: t for n, t in primary.tensors.items() if n.startswith(old)}
        tensors |= {f"layers.{j}.{n.removeprefix(old)}": t for n, t in new.items()}
    return Source(
        config=dataclasses.replace(config, num_layers=len(layers), **window),
        tensors=tensors,
        text=primary.text,
        facts={"format": "layers of the primary", "layers": list(layers)},
    )


def matched(primary: Source, drafter: Source) -> Source:
    """Returns the drafter over the primary's vocabulary, token by token.

    Where the two number their tokens differently, or the drafter has fewer, its rows are put in
    the primary's order and `vocabulary.rows` says which token each one is.

    Raises:
      CheckpointError: the drafter's vocabulary has a token that the primary lacks. One that was
        added to the vocabulary is left out, and told in `facts`.
    """
    if drafter.text is None or primary.text is None or drafter.text is primary.text:
        return _same_rows(primary, drafter)
    ours, theirs = (token_texts(text.tokenizer_json) for text in (primary.text, drafter.text))
    if all(ours.get(token) == text for token, text in theirs.items()) and len(ours) == len(theirs):
        return _same_rows(primary, drafter)
    ids = {text: token for token, text in ours.items()}
    foreign = sorted(token for token, text in theirs.items() if text not in ids)
    # A drafter need not draft what was added to its vocabulary, say a `[PAD]`.
    added = added_texts(drafter.text.tokenizer_json)
    needed = [token for token in foreign if theirs[token] not in added]
    if needed or len(foreign) == len(theirs):
        token = needed[0] if needed else foreign[0]
        raise CheckpointError(
            "primary and drafter must share a vocabulary, or the drafter's be a part of the "
            f"primary's: {len(foreign)} of its {len(theirs)} tokens are not there. "
            f"Got: token {token}, {theirs[token]!r}; the primary's {token} is {ours.get(token)!r}"
        )
    order = sorted((ids[text], token) for token, text in theirs.items() if text in ids)
    known, rows = (np.array(column) for column in zip(*order, strict=True))
    shared = reduced(_with_rows(drafter, rows), known, primary.config.vocab_size)
    return _noting(shared, [theirs[token] for token in foreign])


def _noting(drafter: Source, texts: Sequence[str]) -> Source:
    """Returns the drafter, with a note on the tokens that it is used without."""
    if not texts:
        return drafter
    names = ", ".join(repr(text) for text in texts[:_SHOWN])
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    note = f"used without {names}{more}: the primary has no such token"
    notes = [*drafter.facts.get("notes", []), note]
    return dataclasses.replace(drafter, facts=drafter.facts | {"notes": notes})


def _same_rows(primary: Source, drafter: Source) -> Source:
    """Returns a drafter of the primary's ids; embeddings may be padded to different lengths."""
    size, rows = primary.config.vocab_size, drafter.config.vocab_size
    if rows == size:
        return drafter
    shared = np.arange(min(size, rows))
    cut = drafter if rows < size else _with_rows(drafter, shared)
    return reduced(cut, shared, size)


def _with_rows(drafter: Source, rows: np.ndarray) -> Source:
    """Returns the drafter with only some rows of embedding and head."""
    tensors = dict(drafter.tensors)
    tensors["embedding.weight"] = tensors["embedding.weight"].take(rows)
    if "head.weight" in tensors:
        tensors["head.weight"] = tensors["head.weight"].take(rows, axis=1)
    config = dataclasses.replace(drafter.config, vocab_size=len(rows))
    return dataclasses.replace(drafter, config=config, tensors=tensors)


def keep_tokens(drafter: Source, tokens: Sequence[int]) -> Source:
    """Returns a drafter over the primary's vocabulary, cut down to some of its tokens.

    Raises:
      CheckpointError: an id twice, none at all, or one outside the vocabulary.
    """
    size = drafter.config.vocab_size
    known = np.array(sorted(set(tokens)), np.int64)
    if len(known) != len(tokens) or not len(known) or known[0] < 0 or known[-1] >= size:
        raise CheckpointError(
            f"`drafter_vocabulary` must hold ids in 0 .. {size - 1}, none twice, at least one. "
            f"Got: {len(tokens)} ids, {len(known)} of them different"
        )
    return reduced(_with_rows(drafter, known), known, size)


def reduced(drafter: Source, known: np.ndarray, size: int) -> Source:
    """Returns `drafter` with its row i for the primary's token `known[i]`, see `vocabulary.rows`.

    Tokens that it does not know are read as its first row.
    """
    if len(known) == size:
        return drafter
    rows = np.full(size, ~0, np.int32)
    rows[known] = np.arange(len(known))
    tensors: Mapping[str, LazyTensor] = {
        **drafter.tensors,
        "vocabulary.rows": lazy(rows),
    }
    facts: JsonObject = drafter.facts | {"tokens": len(known)}
    return dataclasses.replace(drafter, tensors=tensors, facts=facts)
