"""One engine under many requests at once: throughput, waiting times, and what the host costs."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

from tandem_export.bundle import open_bundle
from tandem_export.data import Prompt, encode_prompts
from tandem_export.jsontypes import JsonObject
from tandem_export.measure.turns import medians, take_turns
from tandem_export.progress import Progress, silent
from tandem_export.runtime import Engine, Result, SamplingParams, Steps, batches_of, load
from tandem_export.runtime.executors import ExecutorSpec, default_executor

_MOVES = 9  # of each bucket
Work = Sequence[tuple[tuple[int, ...], SamplingParams]]


@dataclass(frozen=True, kw_only=True)
class LoadLine:
    """One engine under the load; medians over its turns.

    Attributes:
      name: `one by one`, which sends a request when the one before has ended, on the smallest
        bucket, or the batch buckets that the engine has.
      tokens_per_second: of all answers.
      against_one_by_one: ratio of that to `one by one`.
      first_p50, first_p95: seconds from a request's admission to its first token.
      token_p50, token_p95: seconds between an answer's tokens, by answer.
      host_share: of the time at work, that spent outside the executor: scheduling, stops, text.
      host_per_round: the same in seconds, by round.
    """

    name: str
    tokens_per_second: float
    against_one_by_one: float
    first_p50: float
    first_p95: float
    token_p50: float
    token_p95: float
    host_share: float
    host_per_round: float


@dataclass(frozen=True, kw_only=True)
class Move:
    """What it costs to move the rows of one bucket to another.

    Attributes:
      before, after: the buckets.
      seconds: of a move, the median.
      rounds: the same, in rounds of the bucket that it left.
    """

    before: int
    after: int
    seconds: float
    rounds: float


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What was measured: `requests` at once, on `executor`."""

    executor: str
    requests: int
    lines: tuple[LoadLine, ...]
    moves: tuple[Move, ...]

    def to_dict(self) -> JsonObject:
        """Returns JSON values."""
        return dataclasses.asdict(self)


def bench_load(
    path: str | Path,
    executor: ExecutorSpec | str | None = None,
    *,
    prompts: Sequence[Prompt] | None = None,
    requests: int = 64,
    longest: int = 64,
    repetitions: int = 3,
    threads: int | None = None,
    allow_expired: bool = False,
    verify_key: str | Path | None = None,
    progress: Progress = silent,
) -> LoadReport:
    """Sends requests of mixed lengths at once, to each batch bucket of the bundle at `path`.

    The last line is an engine that has all buckets and uses the one that the load asks for.

    Args:
      path: a bundle.
      executor: runs it; None is the first that it has graphs for.
      prompts: texts or token ids, asked in turn; None is the packaged ones.
      requests: how many.
      longest: tokens of the longest answer; the shortest has a quarter of them.
      repetitions: turns of each engine; one more is not counted.
      threads: of the executors that let them be set.
      allow_expired: open the bundle although a part of it has passed its date.
      verify_key: as in `open_bundle`.
      progress: called before each turn.

    Raises:
      BundleError: the bundle has expired, or cannot be loaded.
      RequestError: prompts that the bundle cannot serve.
    """
    spec = default_executor(path, verify_key) if executor is None else ExecutorSpec.parse(executor)
    bundle = open_bundle(path, allow_expired=allow_expired, verify_key=verify_key).in_form(
        spec.form
    )
    buckets = batches_of(bundle)
    opened = partial(load, path, executor=spec, threads=threads, allow_expired=True)
    fixed = {batch: opened(batch=batch) for batch in buckets}
    first, engines = fixed[buckets[0]], {str(batch): own for batch, own in fixed.items()}
    every = "of " + " ".join(map(str, buckets))
    if len(buckets) > 1:
        engines[every] = opened(batch=buckets)
    ids = encode_prompts(
        bundle, prompts, count=8, room=first.limits.cache - longest - first.limits.gamma
    )
    work = mixed_work(ids, requests, longest)
    turns = {"one by one": partial(one_by_one, first, work)}
    turns |= {name: partial(at_once, engine, work) for name, engine in engines.items()}
    samples = take_turns(turns, repetitions, progress=progress)
    found = {name: medians(own) for name, own in samples.items()}
    base = found["one by one"]["tokens_per_second"]
    lines = tuple(
        LoadLine(name=name, against_one_by_one=own["tokens_per_second"] / base, **own)
        for name, own in found.items()
    )
    moves = tuple(_moves(fixed, engines[every])) if len(buckets) > 1 else ()
    for engine in engines.values():
        engine.close()
    return LoadReport(executor=str(spec), requests=requests, lines=lines, moves=moves)


def mixed_work(prompts: Sequence[tuple[int, ...]], requests: int, longest: int) -> Work:
    """Returns requests of mixed lengths, always the same ones."""
    draw = random.Random(0)
    return [
        (
            prompts[number % len(prompts)],
            SamplingParams(
                max_new_tokens=draw.randint(max(1, longest // 4), longest), ignore_end_tokens=True
            ),
        )
        for number in range(requests)
    ]


def one_by_one(engine: Engine, work: Work) -> dict[str, float]:
    """Sends each request when the one before has ended."""
    engine.reset_stats()
    begin = time.perf_counter()
    results = [result for prompt, params in work for result in engine.generate([prompt], params)]
    return _figures(engine, results, time.perf_counter() - begin)


def at_once(engine: Engine, work: Work) -> dict[str, float]:
    """Sends all requests at once."""
    engine.reset_stats()
    begin = time.perf_counter()
    results = engine.generate([prompt for prompt, _ in work], [params for _, params in work])
    return _figures(engine, results, time.perf_counter() - begin)


def _figures(engine: Engine, results: Sequence[Result], seconds: float) -> dict[str, float]:
    stats = engine.stats
    first = [result.stats.first_token_seconds for result in results]
    token = [
        (own.queued_seconds + own.seconds - own.first_token_seconds) / (own.tokens - 1)
        for own in (result.stats for result in results)
        if own.tokens > 1
    ]
    first_twentieths, token_twentieths = quantiles(first, n=20), quantiles(token, n=20)
    return {
        "tokens_per_second": sum(len(result.tokens) for result in results) / seconds,
        "first_p50": first_twentieths[9],
        "first_p95": first_twentieths[-1],
        "token_p50": token_twentieths[9],
        "token_p95": token_twentieths[-1],
        "host_share": stats.host_seconds / stats.seconds,
        "host_per_round": stats.host_seconds / stats.rounds,
    }


def _moves(engines: Mapping[int, Engine], engine: Engine) -> list[Move]:
    """Moves rows between neighbouring buckets and back; `engine` has all, and serves nobody."""
    steps, buckets, found = engine.executor, engine.executor.batches, list[Move]()
    for small, large in pairwise(buckets):
        rows, places = list(range(small)), [*range(small), *[None] * (large - small)]
        steps.resize([None] * small)
        times = [
            {"grow": _seconds(steps, places), "shrink": _seconds(steps, rows)}
            for _ in range(_MOVES + 1)
        ]
        typical = medians(times[1:])
        grow, shrink = typical["grow"], typical["shrink"]
        for before, after, seconds in ((small, large, grow), (large, small, shrink)):
            stats = engines[before].stats
            rounds = seconds * stats.rounds / stats.round_seconds
            found.append(Move(before=before, after=after, seconds=seconds, rounds=rounds))
    return found


def _seconds(steps: Steps, order: Sequence[int | None]) -> float:
    begin = time.perf_counter()
    steps.resize(order)
    return time.perf_counter() - begin
