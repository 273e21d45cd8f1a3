"""P2: the first token that SPEED samples under `leviathan` has the primary's own distribution."""

from __future__ import annotations

import dataclasses

import numpy as np

from tandem_export.parity.chi_square import TooFewBinsError, fit
from tandem_export.parity.report import Check
from tandem_export.parity.requests import GREEDY, requests
from tandem_export.parity.subject import Prompts, Subject
from tandem_export.runtime import SamplingParams

SMALLEST_P = 1e-4
_CLAIM = "sampled under leviathan: first token, chi-square"


def check_distribution(subject: Subject, gamma: int, prompts: Prompts, *, samples: int) -> Check:
    """Draws `samples` first tokens of one prompt through fused rounds.

    The prompt is the one of `prompts` whose distribution has the largest entropy; the expected
    counts come from the softmax, in float64, of the primary's logits at the same width. Where even
    that one is too narrow for the test, the check's `passed` is None.
    """
    params = requests(len(prompts), "primary", gamma, GREEDY, max_new_tokens=1)
    logits = [trace.values[0] for trace in subject.run("steps", prompts, params)]
    spread = [_softmax(row) for row in logits]
    pick = int(np.argmax([_entropy(p) for p in spread]))
    counts, accepted = _draw(subject, gamma, prompts[pick], len(spread[pick]), samples)
    drawn = Check(level="P2", claim=_CLAIM, cases=samples, tokens=samples, passed=None)
    try:
        test = fit(counts, spread[pick])
    except TooFewBinsError as error:
        likeliest = f"the likeliest first token has probability {spread[pick].max():.6g}"
        return dataclasses.replace(drawn, detail=f"not tested: {likeliest}, and {error}")
    return dataclasses.replace(
        drawn,
        passed=test.p_value > SMALLEST_P,
        detail=f"p = {test.p_value:.3g} over {test.bins} bins; must be above {SMALLEST_P:g}; "
        f"{accepted:.0%} of the drafts were accepted",
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits.astype(np.float64) - np.max(logits))
    return shifted / shifted.sum()


def _entropy(p: np.ndarray) -> float:
    return float(-np.sum(p * np.log(np.maximum(p, np.finfo(np.float64).tiny))))


def _draw(
    subject: Subject, gamma: int, prompt: tuple[int, ...], size: int, samples: int
) -> tuple[np.ndarray, float]:
    """Counts `[V]` of the first token, and the share of accepted drafts.

    Two new tokens, because a row whose budget is one does not draft.
    """
    params = SamplingParams(
        max_new_tokens=2,
        temperature=1.0,
        seed=7,
        rule="leviathan",
        ignore_end_tokens=True,
        num_samples=samples,
        gamma=gamma,
    )
    results = subject.generate("fused", [prompt], [params])
    counts = np.bincount([result.tokens[0] for result in results], minlength=size)
    drafted = sum(result.stats.drafted for result in results)
    return counts, sum(result.stats.accepted for result in results) / drafted
