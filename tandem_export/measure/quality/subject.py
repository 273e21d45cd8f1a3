"""A bundle that is evaluated: what its graphs allow, and whether two of them can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tandem_export.bundle import Bundle, open_bundle
from tandem_export.errors import BundleError, ConfigError
from tandem_export.runtime import batches_of, limits_of
from tandem_export.runtime.executors import ExecutorSpec, default_executor


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One bundle under one executor.

    Attributes:
      bundle: its graphs in the form that the executor runs.
      executor: which runs the graphs.
      batch: the bucket that is used.
      width: of the widest `primary_block` graph.
      room: the most tokens of a text that fit the cache.
    """

    bundle: Bundle
    executor: ExecutorSpec
    batch: int
    width: int
    room: int


def open_subject(
    path: str | Path,
    executor: ExecutorSpec | str | None,
    batch: int | None,
    *,
    allow_expired: bool,
    verify_key: str | Path | None = None,
) -> Subject:
    """Opens a bundle; None is an executor that it has graphs for, and its smallest batch bucket.

    Raises:
      BundleError: it cannot be used, or lacks the graphs of single steps.
      ConfigError: an unknown executor, or a batch that is no bucket.
    """
    spec = default_executor(path, verify_key) if executor is None else ExecutorSpec.parse(executor)
    bundle = open_bundle(path, allow_expired=allow_expired, verify_key=verify_key)
    bundle = bundle.in_form(spec.form)
    buckets = batches_of(bundle)
    if batch is not None and batch not in buckets:
        raise ConfigError(f"`batch` must be one of the bundle's buckets {buckets}. Got: {batch}")
    slots = buckets[0] if batch is None else batch
    width = _widest_block(bundle, slots)
    cache = limits_of(bundle, slots).cache
    return Subject(
        bundle=bundle, executor=spec, batch=slots, width=width, room=cache // width * width
    )


def _widest_block(bundle: Bundle, batch: int) -> int:
    steps = {
        role: [g.width for g in bundle.manifest.graphs if (g.role, g.batch) == (role, batch)]
        for role in ("primary_block", "drafter_step")
    }
    if not all(steps.values()):
        have = sorted({graph.role for graph in bundle.manifest.graphs})
        rule = "to be evaluated, a bundle must have the graphs `primary_block` and `drafter_step`"
        hint = "Build it again with them in --graphs."
        raise BundleError(f"{rule}. Got: {have} in {bundle.manifest.name!r}. {hint}")
    return max(width or 1 for width in steps["primary_block"])


def check_same_tokens(subjects: Sequence[Subject]) -> None:
    """Refuses bundles that may cut a text into other tokens: their measures do not compare.

    Raises:
      ConfigError: their tokenizers or chat templates differ.
    """
    first, *others = [subject.bundle for subject in subjects]
    for other in others:
        for what, same in (
            ("tokenizer", first.tokenizer_path.read_bytes() == other.tokenizer_path.read_bytes()),
            ("chat template", first.chat_template == other.chat_template),
        ):
            if not same:
                rule = "bundles that are compared must read the same tokens"
                names = f"{first.manifest.name!r} and {other.manifest.name!r}"
                raise ConfigError(f"{rule}. Got: {names}, which have not the same {what}")
