"""What is measured: the options of a benchmark, and the candidates that take turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from tandem_export.errors import ConfigError
from tandem_export.runtime import Limits, Mode, SamplingParams
from tandem_export.runtime.executors import ExecutorSpec

Family = Literal["primary", "speed", "router", "standalone", "baseline"]
FAMILIES: tuple[Family, ...] = Family.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """How much is measured, and what.

    Attributes:
      prompts: how many; every candidate answers each of them once per batch row in each repetition.
        With few, the rows that finish first stand idle for much of the run.
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
    gammas = _gammas(limits, options)
    yield _candidate("primary, width 1", "primary", options, "primary")
    for gamma in gammas:
        name = f"primary, width {gamma + 1}"
        yield _candidate(name, "primary", options, "primary", gamma=gamma)
    for gamma in gammas:
        yield _candidate(f"SPEED, gamma {gamma}", "speed", options, "speed", gamma=gamma)
    middle = min(gammas, key=lambda gamma: abs(gamma - limits.gamma))
    if middle in limits.gammas.get("round_router", ()):
        for tau in options.tau:
            name = f"SPEED + router, gamma {middle}, tau {tau:g}"
            yield _candidate(name, "router", options, "router", gamma=middle, tau=tau)
    name = f"standalone, gamma {middle}"
    yield _candidate(name, "standalone", options, "standalone", gamma=middle)
    for gamma in () if baseline is None else _gammas(baseline, options):
        name = f"baseline SPEED, gamma {gamma}"
        yield _candidate(name, "baseline", options, "speed", gamma=gamma)


def _gammas(limits: Limits, options: BenchOptions) -> list[int]:
    have = set(limits.gammas.get("round", ())) - {0}
    chosen = sorted(have & set(options.gamma) if options.gamma else have)
    if not chosen or set(options.gamma) - have:
        rule = f"`gamma` must be from the bundle's buckets {sorted(have)}"
        raise ConfigError(f"{rule}. Got: {list(options.gamma)}")
    return chosen


def _candidate(
    name: str,
    family: Family,
    options: BenchOptions,
    mode: Mode,
    *,
    gamma: int | None = None,
    tau: float | None = None,
) -> Candidate:
    params = SamplingParams(
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        ignore_end_tokens=True,
        mode=mode,
        gamma=gamma,
        tau=tau,
    )
    return Candidate(name=name, family=family, params=params)
