"""Whether an engine can serve a request: asked before anything is touched."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tandem_export.errors import RequestError
from tandem_export.runtime.request.params import SamplingParams
from tandem_export.runtime.rounds.inputs import bias_of
from tandem_export.runtime.rounds.protocol import RoundKind, RoundRole


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
      takes_bias: whether logits can be changed before they are sampled, which the host does.
    """

    batch: int
    cache: int
    vocab_size: int
    gammas: Mapping[RoundRole, tuple[int, ...]]
    gamma: int
    tau: float = 0.8
    end_tokens: frozenset[int] = frozenset()
    takes_bias: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """A request that was let in.

    Attributes:
      index: of its prompt, in the call that it came with.
      prompt: token ids.
      params: its options.
      kind: the smallest graph that serves it alone.
      room: the largest gamma of a graph whose blocks still end inside the cache.
      max_draft: its longest draft.
      tau: its router threshold; 0, which stops no draft, in every mode but `router`.
      stops: token ids that end an answer.
      bias: what its rows add to logits, `[V]` float32; None if nothing.
      created: when it was let in, on the clock of `time.perf_counter`.
    """

    index: int
    prompt: tuple[int, ...]
    params: SamplingParams
    kind: RoundKind
    room: int
    max_draft: int
    tau: float
    stops: frozenset[int]
    bias: np.ndarray | None = None
    created: float = field(default_factory=time.perf_counter)


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


def _check_bias(index: int, params: SamplingParams, limits: Limits) -> None:
    if params.biases and not limits.takes_bias:
        rule = "`logit_bias` and `allowed_token_ids` need rounds that the host puts together"
        hint = 'Load the bundle with driver="steps", or on an executor over ONNX graphs'
        raise RequestError(f"prompt {index}: {rule}. Got: rounds fused into one graph. {hint}.")
    ids = (*(token for token, _ in params.logit_bias), *params.allowed_token_ids)
    outside = [token for token in ids if token >= limits.vocab_size]
    if outside:
        rule = f"`logit_bias` and `allowed_token_ids` must be within 0 .. {limits.vocab_size - 1}"
        raise RequestError(f"prompt {index}: {rule}. Got: {outside[0]}")


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
      RequestError: an empty prompt, a token id out of range, too little room in the cache, a mode
        or gamma without a graph, or a bias that a fused round cannot take; the text gives the
        numbers.
    """
    kind, max_draft = round_kind(params, limits)
    _check_bias(index, params, limits)
    _check_prompt(index, prompt, limits)
    _check_room(index, len(prompt), params, kind.gamma, limits.cache)
    ends = frozenset[int]() if params.ignore_end_tokens else limits.end_tokens
    return Job(
        index=index,
        prompt=tuple(prompt),
        params=params,
        kind=kind,
        room=limits.cache - len(prompt) - params.max_new_tokens,
        max_draft=max_draft,
        tau=_tau(params, limits),
        stops=ends | frozenset(params.stop_token_ids),
        bias=bias_of(params, limits.vocab_size),
    )


def _tau(params: SamplingParams, limits: Limits) -> float:
    if params.mode != "router":
        return 0.0
    return limits.tau if params.tau is None else params.tau
