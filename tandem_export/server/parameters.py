"""From a request's body to `SamplingParams`, with the defaults of OpenAI's interface."""

from __future__ import annotations

import secrets

from tandem_export.runtime import Limits, SamplingParams
from tandem_export.server.bodies import ChatBody, CompletionBody

_USUAL_COMPLETION = 16


def params_of(
    body: CompletionBody | ChatBody, prompt_tokens: int, limits: Limits
) -> SamplingParams:
    """Returns the parameters for a prompt of `prompt_tokens` tokens.

    As with OpenAI, temperature is 1 unless given, and an answer without a seed has a random one; a
    completion has 16 tokens, an answer in a chat as many as there is room for.

    Raises:
      ConfigError: an option that breaks its rule.
    """
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    return SamplingParams(
        max_new_tokens=_length(body, prompt_tokens, limits),
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=body.top_k or 0,
        min_p=body.min_p or 0.0,
        seed=secrets.randbits(63) if body.seed is None else body.seed % 2**64,
        rule=body.rule or "leviathan",
        stop=tuple(stop),
        stop_token_ids=tuple(body.stop_token_ids or ()),
        allowed_token_ids=tuple(body.allowed_token_ids or ()),
        logit_bias=tuple((body.logit_bias or {}).items()),
        min_tokens=body.min_tokens or 0,
        ignore_end_tokens=bool(body.ignore_eos),
        logprobs=_wants_logprobs(body),
        num_samples=body.n or 1,
        mode=body.mode or "speed",
        gamma=body.gamma,
        tau=body.tau,
    )


def _wants_logprobs(body: CompletionBody | ChatBody) -> bool:
    if isinstance(body, ChatBody):
        return bool(body.logprobs)
    return body.logprobs is not None


def _length(body: CompletionBody | ChatBody, prompt_tokens: int, limits: Limits) -> int:
    if isinstance(body, ChatBody) and body.max_completion_tokens is not None:
        return body.max_completion_tokens
    if body.max_tokens is not None:
        return body.max_tokens
    if isinstance(body, CompletionBody):
        return _USUAL_COMPLETION
    longest = limits.gamma if body.gamma is None else body.gamma
    buckets = [gamma for gammas in limits.gammas.values() for gamma in gammas if gamma >= longest]
    return max(1, limits.cache - prompt_tokens - min(buckets, default=longest))
