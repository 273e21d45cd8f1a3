"""What is measured: the options of a benchmark, and the candidates that take turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from tandem_export.errors import ConfigError
from tandem_export.runtime import Limits, SamplingParams
from tandem_export.runtime.executors import ExecutorSpec

Family = Literal["primary", "speed", "router", "standalone", "baseline"]
FAMILIES: tuple[Family, ...] = Family.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """How much is measured, and what.

    Attributes:
      prompts: how many; every candidate answers each of them once per batch row in each repetition.
        With few, the rows that finish first stand idle for much of the run. Greedy answers to one
        prompt are alike: they are requests apart, so that the rows hold other prompts. Sampled
        ones are the samples of one request.
      max_new_tokens: length of every answer; end tokens are ignored.
      repetitions: turns of each candidate; the table shows medians.
      temperature: 0 is greedy.
      batch, gamma: buckets; empty is every bucket of the bundle.
      tau: router thresholds.
      families: which candidates take part; the primary always does.
      startup: also measure the time to the first token, in new processes.
      executor: which engine runs the graphs.
      threads: as in `load`.
      compilation_cache: a folder for compiled graphs.
      allow_expired: open bundles although a part of them has passed its date.
    """

    prompts: int = 6
    max_new_tokens: int = 64
    repetitions: int = 5
    temperature: float = 0.0
    batch: tuple[int, ...] = ()
    gamma: tuple[int, ...] = ()
    tau: tuple[float, ...] = (0.3, 0.5, 0.7)
    families: tuple[Family, ...] = FAMILIES
    startup: bool = True
    executor: ExecutorSpec | str = "jax"
    threads: int | None = None
    compilation_cache: str | Path | None = None
    allow_expired: bool = False

    def __post_init__(self) -> None:
        for name in ("prompts", "max_new_tokens", "repetitions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` must be at least 1. Got: {getattr(self, name)}")
        unknown = sorted(set(self.families) - set(FAMILIES))
        if unknown:
            raise ConfigError(f"`families` must be from {FAMILIES}. Got: {unknown[0]!r}")
        _ = self.spec

    def samples(self, batch: int) -> int:
        """Returns the answers that one request asks for at this batch."""
        return batch if self.temperature > 0 else 1

    @cached_property
    def spec(self) -> ExecutorSpec:
        """What `executor` names."""
        return ExecutorSpec.parse(self.executor)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to answer; `baseline` runs on the other bundle."""

    name: str
    family: Family
    params: SamplingParams


def candidates(
    limits: Limits, options: BenchOptions, baseline: Limits | None
) -> Iterator[Candidate]:
    """Yields every candidate of one batch bucket.

    The router and the standalone mode run at the engine's default gamma.
    """
    ask = partial(
        SamplingParams,
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        ignore_end_tokens=True,
        num_samples=options.samples(limits.batch),
    )
    gammas = _gammas(limits, options)
    yield _candidate("primary, width 1", "primary", ask(mode="primary"))
    for gamma in gammas:
        yield _candidate(f"primary, width {gamma + 1}", "primary", ask(mode="primary", gamma=gamma))
    for gamma in gammas:
        yield _candidate(f"SPEED, gamma {gamma}", "speed", ask(gamma=gamma))
    middle = min(gammas, key=lambda gamma: abs(gamma - limits.gamma))
    if middle in limits.gammas.get("round_router", ()):
        for tau in options.tau:
            name = f"SPEED + router, gamma {middle}, tau {tau:g}"
            yield _candidate(name, "router", ask(mode="router", gamma=middle, tau=tau))
    standalone = ask(mode="standalone", gamma=middle)
    yield _candidate(f"standalone, gamma {middle}", "standalone", standalone)
    for gamma in () if baseline is None else _gammas(baseline, options):
        yield _candidate(f"baseline SPEED, gamma {gamma}", "baseline", ask(gamma=gamma))


def _gammas(limits: Limits, options: BenchOptions) -> list[int]:
    have = set(limits.gammas.get("round", ())) - {0}
    chosen = sorted(have & set(options.gamma) if options.gamma else have)
    if not chosen or set(options.gamma) - have:
        rule = f"`gamma` must be from the bundle's buckets {sorted(have)}"
        raise ConfigError(f"{rule}. Got: {list(options.gamma)}")
    return chosen


def _candidate(name: str, family: Family, params: SamplingParams) -> Candidate:
    return Candidate(name=name, family=family, params=params)
