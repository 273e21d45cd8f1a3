"""Acceptance by position in the real loop: the pair goes on from the heads of texts by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tandem_export.errors import RequestError
from tandem_export.measure.quality.report import Acceptance
from tandem_export.measure.quality.texts import Text
from tandem_export.runtime import Engine, SamplingParams

SAMPLINGS = {"greedy": 0.0, "temperature 1": 1.0}


def measure_acceptance(
    engine: Engine,
    texts: Sequence[Text],
    *,
    count: int,
    max_new_tokens: int,
    gamma: int | None,
    report: Callable[[str], None],
) -> Iterator[Acceptance]:
    """Yields the acceptance of `count` answers, greedy and at temperature 1.

    Args:
      engine: of the pair; nothing else runs on it.
      texts: whose heads are the prompts, in their order.
      count: at most; each prompt is answered once.
      max_new_tokens: of an answer; an end token ends it earlier.
      gamma: the longest draft; None is the engine's.
      report: called with what comes next.

    Raises:
      RequestError: no head leaves room in the cache, or no draft is that long.
    """
    longest = engine.limits.gamma if gamma is None else gamma
    room = engine.limits.cache - max_new_tokens - longest
    prompts = [text.tokens[: text.head] for text in texts if text.head <= room][:count]
    if not prompts:
        rule = "the cache leaves no room for a prompt beside the new tokens and a draft; lower"
        raise RequestError(f"{rule} `max_new_tokens`. Got: {max_new_tokens}, room for {room}")
    for sampling, temperature in SAMPLINGS.items():
        report(f"the loop, {sampling}")
        params = SamplingParams(
            max_new_tokens=max_new_tokens, temperature=temperature, gamma=longest, seed=1
        )
        engine.warm_up(params)
        engine.reset_stats()
        results = engine.generate(prompts, params)
        stats, rounds = engine.stats, sum(result.stats.rounds for result in results)
        yield Acceptance(
            sampling=sampling,
            gamma=longest,
            accepted_per_round=stats.accepted / rounds,
            acceptance_at=tuple(stats.acceptance_at),
            answers=len(results),
            tokens=stats.tokens,
        )
