"""Whether an engine can serve a request: asked before anything is touched."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tandem_export.errors import RequestError
from tandem_export.runtime.request.params import SamplingParams
from tandem_export.runtime.rounds.protocol import PrefilledRow, RoundKind, RoundRole


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an engine's graphs can do.

    Attributes:
      batch: slots.
      cache: positions of one row.
      vocab_size: token ids are below it.
      gammas: the gamma buckets of each role.
      gamma: the default longest draft.
      tau: the default router threshold.
      end_tokens: ids that end an answer.
    """

    batch: int
    cache: int
    vocab_size: int
    gammas: Mapping[RoundRole, tuple[int, ...]]
    gamma: int
    tau: float = 0.8
    end_tokens: frozenset[int] = frozenset()


@dataclass(kw_only=True)
class Job:
    """A request that was let in, and the prefilled prompt that its samples share."""

    index: int
    prompt: tuple[int, ...]
    params: SamplingParams
    kind: RoundKind
    max_draft: int
    tau: float
    stops: frozenset[int]
    prefilled: PrefilledRow | None = None
    not_inserted: int = 0
    prefill_seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)


def round_kind(params: SamplingParams, limits: Limits) -> tuple[RoundKind, int]:
    """Returns the graph that serves `params`, and the longest draft to ask of it.

    A gamma between two buckets runs on the larger one.

    Raises:
      RequestError: the bundle has no such graph; the text lists what it has.
    """
    if params.mode == "drafter":
        return RoundKind(role="drafter", gamma=0), 0
    role: RoundRole = "round_router" if params.mode == "router" else "round"
    if params.mode == "primary":
        return RoundKind(role=role, gamma=_bucket(role, params.gamma or 0, limits)), 0
    gamma = limits.gamma if params.gamma is None else params.gamma
    return RoundKind(role=role, gamma=_bucket(role, gamma, limits)), gamma


def _bucket(role: RoundRole, gamma: int, limits: Limits) -> int:
    buckets = limits.gammas.get(role, ())
    if not buckets:
        have = sorted(name for name, gammas in limits.gammas.items() if gammas)
        raise RequestError(f"the bundle has no {role!r} graphs for this mode. Got: {have}")
    fitting = [bucket for bucket in buckets if bucket >= gamma]
    if not fitting:
        rule = f"at most {max(buckets)}; the bundle's buckets are {tuple(sorted(buckets))}"
        raise RequestError(f"`gamma` must be {rule}. Got: {gamma}")
    return min(fitting)


def _check_prompt(index: int, prompt: Sequence[int], limits: Limits) -> None:
    if not prompt:
        raise RequestError(f"prompt {index} is empty; it must hold at least one token. Got: []")
    for place, token in enumerate(prompt):
        if not 0 <= token < limits.vocab_size:
            rule = f"within 0 .. {limits.vocab_size - 1}"
            raise RequestError(
                f"prompt {index}: token id at place {place} must be {rule}. Got: {token}"
            )


def _check_room(index: int, length: int, params: SamplingParams, gamma: int, cache: int) -> None:
    need = length + params.max_new_tokens + gamma
    if need > cache:
        raise RequestError(
            f"prompt {index}: prompt + max_new_tokens + gamma must be at most the cache's {cache} "
            f"positions; shorten the prompt or lower `max_new_tokens`. "
            f"Got: {length} + {params.max_new_tokens} + {gamma} = {need}"
        )


def admit(index: int, prompt: Sequence[int], params: SamplingParams, limits: Limits) -> Job:
    """Checks one request against `limits`.

    Raises:
      RequestError: an empty prompt, a token id out of range, too little room in the cache, or a
        mode or gamma without a graph; the text gives the numbers.
    """
    kind, max_draft = round_kind(params, limits)
    _check_prompt(index, prompt, limits)
    _check_room(index, len(prompt), params, kind.gamma, limits.cache)
    ends = frozenset[int]() if params.ignore_end_tokens else limits.end_tokens
    return Job(
        index=index,
        prompt=tuple(prompt),
        params=params,
        kind=kind,
        max_draft=max_draft,
        tau=limits.tau if params.tau is None else params.tau,
        stops=ends | frozenset(params.stop_token_ids),
        not_inserted=params.num_samples,
    )
