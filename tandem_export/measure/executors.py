"""One bundle under several executors: the loop and its steps in one alternating run, and memory."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tandem_export.bundle import open_bundle
from tandem_export.data import Prompt, encode_prompts
from tandem_export.jsontypes import JsonObject
from tandem_export.measure.process import ProcessCost, measure_cost
from tandem_export.measure.turns import median_clocks, medians, take_turns
from tandem_export.progress import Progress, silent
from tandem_export.runtime import Engine, SamplingParams, load
from tandem_export.runtime.executors import ExecutorSpec


@dataclass(frozen=True, kw_only=True)
class ExecutorLine:
    """One executor at one batch: medians over its turns.

    Attributes:
      speed, primary: tokens per second of decoding, all rows, of SPEED at the default gamma and of
        the primary alone at width 1.
      speed_cpu, primary_cpu: tokens per second of CPU time, all threads, prefill included: what
        else runs on the machine counts little.
      block_ms, single_ms, drafter_ms: CPU time of one call of the primary's block of width G + 1,
        of width 1, and of the drafter's step, inputs and outputs on the host.
    """

    executor: str
    batch: int
    speed: float
    primary: float
    speed_cpu: float
    primary_cpu: float
    block_ms: float
    single_ms: float
    drafter_ms: float


@dataclass(frozen=True, kw_only=True)
class ExecutorComparison:
    """What was measured."""

    lines: tuple[ExecutorLine, ...]
    costs: tuple[ProcessCost, ...]

    def to_dict(self) -> JsonObject:
        """Returns JSON values."""
        return dataclasses.asdict(self)


def bench_executors(
    path: str | Path,
    executors: Sequence[ExecutorSpec | str],
    *,
    prompts: Sequence[Prompt] | None = None,
    count: int = 4,
    max_new_tokens: int = 48,
    repetitions: int = 5,
    threads: int | None = None,
    allow_expired: bool = False,
    progress: Progress = silent,
    verify_key: str | Path | None = None,
) -> ExecutorComparison:
    """Runs the bundle at `path` under each of `executors`, by turns.

    Args:
      path: a bundle with the forms of graphs that they run.
      executors: names that `load` takes.
      prompts: texts or token ids; None is the packaged ones.
      count: how many prompts; each is asked once for every row of the batch.
      max_new_tokens: length of every answer.
      repetitions: turns of each; one more is not counted.
      threads: of the executors that let them be set.
      allow_expired: open the bundle although a part of it has passed its date.
      progress: called before each turn.
      verify_key: as in `open_bundle`.

    Raises:
      BundleError: the bundle has expired, lacks a form that an executor needs, or cannot be
        loaded by a new process.
      ConfigError: an unknown executor.
      RequestError: prompts that the bundle cannot serve.
    """
    specs = tuple(dict.fromkeys(ExecutorSpec.parse(e, what="executors") for e in executors))
    bundle = open_bundle(path, allow_expired=allow_expired, verify_key=verify_key)
    lines: list[ExecutorLine] = []
    for batch in bundle.manifest.options.batch:
        engines = {str(spec): _load(path, spec, batch, threads) for spec in specs}
        limits = next(iter(engines.values())).limits
        room = limits.cache - max_new_tokens - limits.gamma
        ids = encode_prompts(bundle, prompts, count=count, room=room) * batch
        turns = {
            name: partial(_turn, engine, ids, max_new_tokens) for name, engine in engines.items()
        }
        title = f"batch {batch}: {{}}"
        samples = take_turns(turns, repetitions, name=title.format, progress=progress)
        lines += [
            ExecutorLine(executor=name, batch=batch, **medians(engine))
            for name, engine in samples.items()
        ]
    costs = tuple(measure_cost(path, spec, threads) for spec in specs)
    return ExecutorComparison(lines=tuple(lines), costs=costs)


def _load(path: str | Path, executor: ExecutorSpec, batch: int, threads: int | None) -> Engine:
    # Its dates were looked at when it was opened.
    return load(path, executor=executor, batch=batch, threads=threads, allow_expired=True)


def _turn(
    engine: Engine, prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> dict[str, float]:
    steps, batch, width = engine.executor, engine.limits.batch, engine.limits.gamma + 1
    speed, speed_cpu = _rates(engine, prompts, max_new_tokens, "speed")
    primary, primary_cpu = _rates(engine, prompts, max_new_tokens, "primary")
    return {
        "speed": speed,
        "primary": primary,
        "speed_cpu": speed_cpu,
        "primary_cpu": primary_cpu,
        "block_ms": _step_ms(steps.primary_block, batch, width),
        "single_ms": _step_ms(steps.primary_block, batch, 1),
        "drafter_ms": _step_ms(steps.drafter_step, batch, 1),
    }


def _rates(engine: Engine, prompts: Any, max_new_tokens: int, mode: Any) -> tuple[float, float]:
    """Returns tokens per second of decoding, and per second of CPU time."""
    engine.reset_stats()
    params = SamplingParams(max_new_tokens=max_new_tokens, ignore_end_tokens=True, mode=mode)
    begin = time.process_time()
    engine.generate(prompts, params)
    busy, stats = time.process_time() - begin, engine.stats
    decoding = stats.seconds - stats.prefill_seconds - stats.insert_seconds
    return stats.tokens / decoding, stats.tokens / busy


def _step_ms(step: Callable[..., np.ndarray], batch: int, width: int, calls: int = 12) -> float:
    tokens, start = np.ones((batch, width), np.int32), np.arange(batch, dtype=np.int32)
    return 1e3 * median_clocks({"step": lambda: step(tokens, start)}, calls)["step"].cpu
