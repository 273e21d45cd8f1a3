"""From a bundle on disk to an engine that is warm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from tandem_export.bundle import Bundle, open_bundle
from tandem_export.errors import BundleError, ConfigError
from tandem_export.runtime.admission import Limits
from tandem_export.runtime.engine import Engine
from tandem_export.runtime.executor import RoundRole
from tandem_export.runtime.executors import make_executor
from tandem_export.runtime.params import Mode, SamplingParams

_ROLES: tuple[RoundRole, ...] = ("round", "round_router")
_USUAL_GAMMA = 5


def load(
    path: str | Path,
    *,
    executor: str = "jax",
    batch: int | None = None,
    gamma: int | None = None,
    driver: str = "fused",
    modes: Sequence[Mode] = ("speed", "primary"),
    compilation_cache: str | Path | None = None,
    allow_expired: bool = False,
) -> Engine:
    """Opens a bundle, checks its hashes, and compiles what `modes` need.

    Args:
      path: the bundle's folder.
      executor: which engine runs the graphs: `jax`.
      batch: slots, one of the bundle's batch buckets; None is the smallest.
      gamma: the default longest draft; None is the largest bucket up to 5.
      driver: `fused`, or `steps` to run each round step by step (slow, for debugging).
      modes: compiled now. Another mode or gamma compiles when a request first asks for it; the
        statistics count that.
      compilation_cache: a folder where compiled graphs are kept between runs.
      allow_expired: open the bundle although a part of it has passed its date.

    Raises:
      BundleError: not a bundle, damaged, expired, or without the graphs that are needed.
      ConfigError: an unknown executor, driver or batch.
      RequestError: a mode or gamma that the bundle has no graph for.
    """
    bundle = open_bundle(path, allow_expired=allow_expired)
    slots = _batch(bundle, batch)
    runner = make_executor(executor, bundle, batch=slots, compilation_cache=compilation_cache)
    engine = Engine(
        runner,
        limits_of(bundle, slots, gamma),
        Tokenizer.from_file(str(bundle.tokenizer_path)),
        driver=driver,
        independent=bundle.manifest.model.kind == "independent",
    )
    for mode in modes:
        engine.warm_up(SamplingParams(mode=mode))
    return engine


def _batch(bundle: Bundle, batch: int | None) -> int:
    buckets = sorted({g.batch for g in bundle.manifest.graphs if g.role == "insert"})
    if not buckets:
        have = sorted({g.role for g in bundle.manifest.graphs})
        raise BundleError(f"the runtime needs a bundle with 'insert' graphs. Got: {have}")
    if batch is not None and batch not in buckets:
        raise ConfigError(f"`batch` must be one of the bundle's buckets {buckets}. Got: {batch}")
    return buckets[0] if batch is None else batch


def limits_of(bundle: Bundle, batch: int, gamma: int | None = None) -> Limits:
    """What the graphs of one batch bucket can do; `gamma` as in `load`.

    Raises:
      BundleError: the bundle has no `insert` graph of this batch.
    """
    keys = next(s for s in bundle.find("insert", batch=batch).state if s.name == "primary_k.00")
    model = bundle.manifest.model
    gammas: dict[RoundRole, tuple[int, ...]] = {
        role: _gammas(bundle, role, batch) for role in _ROLES
    }
    return Limits(
        batch=batch,
        cache=keys.shape[2],
        vocab_size=model.vocab_size,
        gammas=gammas,
        gamma=_default_gamma(gammas["round"]) if gamma is None else gamma,
        tau=0.0 if model.tau is None else model.tau,
        end_tokens=frozenset(model.end_tokens),
    )


def _gammas(bundle: Bundle, role: str, batch: int) -> tuple[int, ...]:
    graphs = [g for g in bundle.manifest.graphs if g.role == role and g.batch == batch]
    return tuple(sorted(g.gamma for g in graphs if g.gamma is not None))


def _default_gamma(buckets: tuple[int, ...]) -> int:
    usual = [bucket for bucket in buckets if 0 < bucket <= _USUAL_GAMMA]
    return max(usual, default=max(buckets, default=_USUAL_GAMMA))
