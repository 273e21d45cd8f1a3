"""The requests of a comparison: the same for the primary alone and for SPEED, but for the mode."""

from __future__ import annotations

from dataclasses import dataclass

from tandem_export.runtime import Limits, Mode, SamplingParams

_TAUS = (0.2, 0.5, 0.8)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are drawn; prompt i has the seed `seed + i`."""

    name: str
    temperature: float
    seed: int = 0


GREEDY = Sampling(name="greedy", temperature=0.0)
GUMBEL = Sampling(name="sampled under gumbel", temperature=1.0, seed=1000)


def requests(
    count: int, mode: Mode, gamma: int | None, sampling: Sampling, *, max_new_tokens: int
) -> list[SamplingParams]:
    """Returns a request for each prompt; lengths and router thresholds differ."""
    return [
        SamplingParams(
            max_new_tokens=max(1, max_new_tokens - i % 3),
            temperature=sampling.temperature,
            seed=sampling.seed + i,
            rule="gumbel",
            ignore_end_tokens=True,
            logprobs=True,
            mode=mode,
            gamma=gamma,
            tau=_TAUS[i % len(_TAUS)],
        )
        for i in range(count)
    ]


def drafting_modes(limits: Limits, gamma: int) -> tuple[Mode, ...]:
    """Returns the modes that draft and verify at this gamma."""
    routed = gamma in limits.gammas.get("round_router", ())
    return ("speed", "router") if routed else ("speed",)
