"""The alternating run: every candidate once per repetition, so that all meet the same machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tandem_export.bundle import Bundle, open_bundle
from tandem_export.data import Prompt, encode_prompts
from tandem_export.errors import ConfigError
from tandem_export.jsontypes import JsonObject
from tandem_export.measure.process import measure_startup
from tandem_export.measure.speed.candidates import BenchOptions, Candidate, candidates
from tandem_export.measure.speed.comparison import Comparison
from tandem_export.measure.speed.paper import paper_rows
from tandem_export.measure.speed.report import Measurement, Table, table
from tandem_export.measure.turns import take_turns
from tandem_export.progress import Progress, silent
from tandem_export.runtime import Engine, Limits, batches_of, load
from tandem_export.runtime.request import round_kind

Prompts = list[tuple[int, ...]]


def bench(
    path: str | Path,
    options: BenchOptions | None = None,
    *,
    baseline: str | Path | None = None,
    prompts: Sequence[Prompt] | None = None,
    progress: Progress = silent,
    verify_key: str | Path | None = None,
) -> Comparison:
    """Measures the bundle at `path`, and the drafter of the bundle `baseline` beside it.

    Args:
      path: the bundle's folder.
      options: how much is measured.
      baseline: a bundle of the same primary with another drafter.
      prompts: texts or token ids; None is the packaged ones.
      progress: called before each turn.
      verify_key: as in `open_bundle`, of both bundles.

    Raises:
      BundleError: a bundle cannot be used.
      ConfigError: a batch or gamma that is no bucket, or a `baseline` with another vocabulary.
      RequestError: prompts that it cannot serve.
    """
    chosen_options = options or BenchOptions()
    bundle = _open(path, chosen_options, verify_key)
    other = None if baseline is None else _open(baseline, chosen_options, verify_key)
    if other is not None:
        _check_baseline(other, bundle)
    bundles = {"own": bundle} | ({} if other is None else {"baseline": other})
    tables, ids = [], []
    for batch in _batches(bundle, chosen_options):
        engines = {side: _engine(of, batch, chosen_options) for side, of in bundles.items()}
        ids = _encode(bundle, engines["own"], prompts, chosen_options)
        tables.append(_alternate(bundles, engines, ids, chosen_options, progress))
    startup = (
        measure_startup(path, ids[0], executor=chosen_options.spec)
        if chosen_options.startup
        else None
    )
    return Comparison(
        bundle=bundle.manifest.name,
        baseline=None if other is None else other.manifest.name,
        options=_plain(chosen_options),
        tables=tuple(tables),
        paper=paper_rows(tables),
        startup=startup,
    )


def _plain(options: BenchOptions) -> JsonObject:
    values = dataclasses.asdict(options)
    cached = options.compilation_cache is not None
    return values | {"executor": str(options.spec), "compilation_cache": cached}


def _open(path: str | Path, options: BenchOptions, verify_key: str | Path | None) -> Bundle:
    bundle = open_bundle(path, allow_expired=options.allow_expired, verify_key=verify_key)
    return bundle.in_form(options.spec.form)


def _check_baseline(other: Bundle, bundle: Bundle) -> None:
    size, own = other.manifest.model.vocab_size, bundle.manifest.model.vocab_size
    if size != own:
        raise ConfigError(f"`baseline` must have the bundle's vocabulary, {own}. Got: {size}")


def _batches(bundle: Bundle, options: BenchOptions) -> list[int]:
    have = batches_of(bundle)
    if set(options.batch) - set(have):
        rule = f"`batch` must be from the bundle's buckets {have}"
        raise ConfigError(f"{rule}. Got: {list(options.batch)}")
    return sorted(options.batch) or have


def _engine(bundle: Bundle, batch: int, options: BenchOptions) -> Engine:
    return load(
        bundle.path,
        executor=options.spec,
        batch=batch,
        modes=(),
        compilation_cache=options.compilation_cache,
        threads=options.threads,
        allow_expired=options.allow_expired,
    )


def _encode(
    bundle: Bundle, engine: Engine, prompts: Sequence[Prompt] | None, options: BenchOptions
) -> Prompts:
    """Returns a prompt for every row; answers that are sampled are those of one prompt."""
    limits = engine.limits
    room = limits.cache - options.max_new_tokens - max(limits.gammas["round"])
    ids = encode_prompts(bundle, prompts, count=options.prompts, room=room)
    return ids * (limits.batch // options.samples(limits.batch))


def _alternate(
    bundles: dict[str, Bundle],
    engines: dict[str, Engine],
    prompts: Prompts,
    options: BenchOptions,
    progress: Progress,
) -> Table:
    limits = {side: engine.limits for side, engine in engines.items()}
    batch = limits["own"].batch
    every = candidates(limits["own"], options, limits.get("baseline"))
    chosen = [c for c in every if c.family in ("primary", *options.families)]
    calls = [_empty_call(bundles[_side(c)], limits[_side(c)], c, options) for c in chosen]
    turns = {
        candidate.name: partial(_turn, engines, candidate, prompts, call)
        for candidate, call in zip(chosen, calls, strict=True)
    }
    title = f"batch {batch}: {{}}"
    samples = take_turns(turns, options.repetitions, name=title.format, progress=progress)
    return table(batch, chosen, list(samples.values()))


def _side(candidate: Candidate) -> str:
    return "baseline" if candidate.family == "baseline" else "own"


def _empty_call(
    bundle: Bundle, limits: Limits, candidate: Candidate, options: BenchOptions
) -> Callable[[], float] | None:
    """Returns a call of one fused round; only jax's are measured without their graphs."""
    if options.spec.engine != "jax":
        return None
    from tandem_export.measure.speed.calls import empty_call

    kind, _ = round_kind(candidate.params, limits)
    return empty_call(bundle.find(kind.role, batch=limits.batch, gamma=kind.gamma))


def _turn(
    engines: dict[str, Engine],
    candidate: Candidate,
    prompts: Prompts,
    call: Callable[[], float] | None,
) -> Measurement:
    engine = engines[_side(candidate)]
    engine.warm_up(candidate.params)
    engine.reset_stats()
    results = engine.generate(prompts, candidate.params)
    stats = engine.stats
    rounds = sum(result.stats.rounds for result in results)
    return Measurement(
        seconds=stats.seconds,
        decode_seconds=stats.seconds - stats.prefill_seconds - stats.insert_seconds,
        host_seconds=stats.host_seconds,
        call_seconds=None if call is None else call() * stats.rounds,
        tokens=stats.tokens,
        primary_runs=rounds / len(results),
        drafter_runs=sum(result.stats.drafter_runs for result in results) / len(results),
        mean_accepted=stats.accepted / rounds if stats.drafted else None,
        acceptance_at=tuple(stats.acceptance_at),
    )
