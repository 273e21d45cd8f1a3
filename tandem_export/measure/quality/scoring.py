"""Scores both models over texts, as many at a time as the executor has slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tandem_export.measure.quality.forced import ForcedTexts
from tandem_export.measure.quality.report import AtBlockLength
from tandem_export.measure.quality.scores import (
    Means,
    Scores,
    joined,
    means,
    score,
    score_primary,
    softmax,
)
from tandem_export.measure.quality.texts import Text
from tandem_export.runtime import Steps

Blocks = Sequence[int | None]


def score_pair(
    executor: Steps,
    width: int,
    texts: Sequence[Text],
    blocks: Blocks,
    report: Callable[[str], None],
) -> tuple[Means, tuple[AtBlockLength, ...]]:
    """Returns the measures of the primary, and of the drafter at each block length.

    Args:
      executor: all of its slots are used, and idle again at the end.
      width: of its widest `primary_block` graph.
      texts: what is read.
      blocks: block lengths; None is that of a drafter which does not see the primary.
      report: called once for the primary and once for each block length, of each group of texts.
    """
    primary: list[Scores] = []
    drafter: dict[int | None, list[Scores]] = {block: [] for block in blocks}
    for group in groups(texts, executor.batch):
        forced = ForcedTexts(executor, group, width)
        report("the primary")
        logits = forced.primary()
        primary += _of_primary(forced, logits)
        p, best = softmax(logits), logits.argmax(-1)
        del logits
        for block, scores in drafter.items():
            report("the drafter" if block is None else f"block length {block}")
            scores += _of_drafter(forced, block or 1, p, best)
        forced.release()
    by_block = {block: means(joined(scores)) for block, scores in drafter.items()}
    return means(joined(primary)), tuple(
        AtBlockLength(block=block, means=block_means) for block, block_means in by_block.items()
    )


def groups(texts: Sequence[Text], batch: int) -> list[Sequence[Text]]:
    """Returns the texts in groups of `batch`, in order."""
    return [texts[at : at + batch] for at in range(0, len(texts), batch)]


def _of_primary(forced: ForcedTexts, logits: np.ndarray) -> Iterator[Scores]:
    for place in range(logits.shape[1]):
        rows = forced.counted(place)
        if rows.any():
            yield score_primary(logits[rows, place], forced.labels(place)[rows])


def _of_drafter(
    forced: ForcedTexts, block: int, p: np.ndarray, best: np.ndarray
) -> Iterator[Scores]:
    for place, logits in forced.drafter(block):
        rows = forced.counted(place)
        if rows.any():
            labels = forced.labels(place)[rows]
            yield score(logits[rows], labels, p[rows, place], best[rows, place])
