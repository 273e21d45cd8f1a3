"""Verifies a bundle: every batch and gamma bucket, its own drafter and a random one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tandem_export.bundle import Bundle, open_bundle
from tandem_export.data import Prompt, encode_prompts
from tandem_export.errors import BundleError, ConfigError
from tandem_export.parity.distribution import check_distribution
from tandem_export.parity.exact import check_exact
from tandem_export.parity.numeric import check_numeric, primary_alone
from tandem_export.parity.report import Check, Report, merge
from tandem_export.parity.requests import GREEDY, GUMBEL
from tandem_export.parity.subject import Prompts, Subject, with_random_drafter
from tandem_export.progress import Progress, silent
from tandem_export.runtime import Limits, batches_of, limits_of
from tandem_export.runtime.executors import ExecutorSpec


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """How much is compared.

    Attributes:
      prompts: how many.
      max_new_tokens: longest answer; some are one or two tokens shorter.
      batch, gamma: buckets; empty is every bucket of the bundle.
      samples: draws of the P2 test; 0 leaves it out.
      executor: which engine runs the graphs.
      reference: the executor whose primary alone is the reference at P1; None is `executor`.
      threads: as in `load`.
      compilation_cache: a folder for compiled graphs. Without one, the graphs are compiled again
        for the random drafter.
      allow_expired: open the bundle although a part of it has passed its date.
    """

    prompts: int = 16
    max_new_tokens: int = 16
    batch: tuple[int, ...] = ()
    gamma: tuple[int, ...] = ()
    samples: int = 4000
    executor: ExecutorSpec | str = "jax"
    reference: ExecutorSpec | str | None = None
    threads: int | None = None
    compilation_cache: str | Path | None = None
    allow_expired: bool = False

    def __post_init__(self) -> None:
        for name, low in (("prompts", 1), ("max_new_tokens", 3), ("samples", 0)):
            if getattr(self, name) < low:
                got = getattr(self, name)
                raise ConfigError(f"`{name}` must be at least {low}. Got: {got}")
        _ = self.spec, self.reference_spec

    @cached_property
    def spec(self) -> ExecutorSpec:
        """What `executor` names."""
        return ExecutorSpec.parse(self.executor)

    @cached_property
    def reference_spec(self) -> ExecutorSpec | None:
        """What `reference` names."""
        named = self.reference
        return None if named is None else ExecutorSpec.parse(named, what="reference")


def verify(
    path: str | Path,
    options: VerifyOptions | None = None,
    *,
    prompts: Sequence[Prompt] | None = None,
    progress: Progress = silent,
    verify_key: str | Path | None = None,
) -> Report:
    """Tests the parity level that the bundle at `path` claims, and P2.

    Args:
      path: the bundle's folder.
      options: how much is compared.
      prompts: texts or token ids; None is the packaged ones.
      progress: called before each comparison.
      verify_key: as in `open_bundle`.

    Raises:
      BundleError: not a usable bundle, or without the graphs that a comparison needs.
      ConfigError: a batch or gamma that is no bucket of it.
      RequestError: prompts that it cannot serve.
    """
    started = time.perf_counter()
    chosen = options or VerifyOptions()
    full_bundle = open_bundle(path, allow_expired=chosen.allow_expired, verify_key=verify_key)
    checks = tuple(_checks(full_bundle, chosen, prompts, progress))
    bundle = full_bundle.in_form(chosen.spec.form)
    return Report(
        bundle=bundle.manifest.name,
        parity=_parity(bundle),
        dtype=bundle.manifest.options.dtype,
        prompts=chosen.prompts,
        seconds=time.perf_counter() - started,
        checks=merge(checks),
    )


def _parity(bundle: Bundle) -> str:
    """Returns the weakest level that a graph claims."""
    return max(graph.parity for graph in bundle.manifest.graphs)


def _checks(
    full_bundle: Bundle,
    options: VerifyOptions,
    prompts: Sequence[Prompt] | None,
    progress: Progress,
) -> Iterator[Check]:
    bundle = full_bundle.in_form(options.spec.form)
    every = [limits_of(bundle, batch) for batch in _batches(bundle, options)]
    gammas = [
        _chosen("gamma", options.gamma, set(bucket.gammas["round"]) - {0}) for bucket in every
    ]
    room = every[0].cache - options.max_new_tokens - max(map(max, gammas))
    ids = encode_prompts(bundle, prompts, count=options.prompts, room=room)
    total, done = sum(map(len, gammas)) + 1, 0
    for limits, own_gammas in zip(every, gammas, strict=True):
        subjects = _subjects(bundle, limits, options)
        compare = _comparison(full_bundle, subjects, ids, options)
        for gamma in own_gammas:
            progress(done, total, f"batch {limits.batch}, gamma {gamma}")
            yield from compare(gamma)
            done += 1
        # Once, with the largest batch: the rule is the same in all of them.
        if options.samples and limits is every[-1]:
            progress(done, total, f"{options.samples} samples")
            yield check_distribution(subjects[0], own_gammas[0], ids, samples=options.samples)
    progress(total, total, "done")


def _batches(bundle: Bundle, options: VerifyOptions) -> list[int]:
    return _chosen("batch", options.batch, set(batches_of(bundle)))


def _chosen(name: str, wanted: Sequence[int], have: set[int]) -> list[int]:
    if not have:
        raise BundleError(
            f"to verify a bundle, its rounds and single steps must be built; it has no {name} "
            "bucket for them. Build it with every graph."
        )
    unknown = sorted(set(wanted) - have)
    if unknown:
        rule = f"`{name}` must be from the bundle's buckets {sorted(have)}"
        raise ConfigError(f"{rule}. Got: {unknown[0]}")
    return sorted(wanted or have)


def _subjects(bundle: Bundle, limits: Limits, options: VerifyOptions) -> list[Subject]:
    both = {"own drafter": bundle, "random drafter": with_random_drafter(bundle)}
    return [
        _subject(subject_bundle, limits, options, name, options.spec)
        for name, subject_bundle in both.items()
    ]


def _subject(
    bundle: Bundle, limits: Limits, options: VerifyOptions, name: str, executor: ExecutorSpec
) -> Subject:
    return Subject(
        bundle.in_form(executor.form),
        limits,
        name=name,
        executor=executor,
        compilation_cache=options.compilation_cache,
        threads=options.threads if executor == options.spec else None,
    )


def _comparison(
    full_bundle: Bundle, subjects: list[Subject], prompts: Prompts, options: VerifyOptions
) -> Callable[[int], Iterator[Check]]:
    """Returns what is compared at one gamma, for the level that the graphs claim."""
    longest = options.max_new_tokens
    bundle = full_bundle.in_form(options.spec.form)
    if _parity(bundle) == "P0" and options.reference is None:
        return lambda gamma: (
            check
            for sampling in (GREEDY, GUMBEL)
            for check in check_exact(subjects, gamma, sampling, prompts, max_new_tokens=longest)
        )
    other = options.reference_spec
    limits = subjects[0].limits
    alone = _subject(full_bundle, limits, options, "reference", other) if other else subjects[0]
    reference = primary_alone(alone, prompts, longest)
    dtype = bundle.manifest.options.dtype
    return lambda gamma: check_numeric(
        subjects, gamma, reference, prompts, dtype=dtype, max_new_tokens=longest
    )
