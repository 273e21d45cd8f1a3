"""What a request asks for holds inside accepted blocks: gamma and mode change no answer."""

from __future__ import annotations

from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from tandem_export.errors import ConfigError, RequestError
from tandem_export.runtime import Result, SamplingParams
from tandem_export.runtime.testing import DRAFTER, PRIMARY, V, toy_engine

PROMPTS = [[1, 2, 3], [4], [9, 1, 7]]
WAYS: list[dict[str, Any]] = [
    {"mode": "primary"},
    *({"mode": "speed", "gamma": gamma} for gamma in (1, 2, 3, 5)),
    {"mode": "router", "gamma": 5},
]
CONTROL = st.fixed_dictionaries(
    {
        "max_new_tokens": st.integers(1, 20),
        "stop": st.sampled_from([(), ("ab",), ("c", "ythe"), ("b a",), ("!", "?")]),
        "stop_token_ids": st.sampled_from([(), (3,), (0, 4)]),
        "ignore_end_tokens": st.booleans(),
        "num_samples": st.integers(1, 2),
        "seed": st.integers(0, 4),
        "temperature": st.sampled_from([0.0, 0.9]),
        "rule": st.just("gumbel"),
        "logprobs": st.just(True),
    }
)
BIAS = st.fixed_dictionaries(
    {
        "logit_bias": st.sampled_from([(), ((2, 5.0), (3, -50.0)), ((0, 1.5),)]),
        "allowed_token_ids": st.sampled_from([(), (1, 2, 4, 9), (5,)]),
    }
)


def usage(result: Result) -> tuple[Any, ...]:
    logprobs = tuple(np.round(result.logprobs or (), 4).tolist())
    assert result.stats.tokens == len(result.tokens)
    return result.tokens, result.text, logprobs, result.finish_reason, result.stats.tokens


@hypothesis.settings(max_examples=40)
@hypothesis.given(CONTROL, BIAS, st.integers(0, 20), st.sampled_from(["fused", "steps"]))
def test_gamma_and_mode_change_nothing(
    control: dict[str, Any], bias: dict[str, Any], least: int, driver: str
) -> None:
    options: dict[str, Any] = control | {"min_tokens": min(least, control["max_new_tokens"])}
    options |= bias if driver == "steps" else {}
    end = frozenset({6})
    answers = [
        [usage(r) for r in engine.generate(PROMPTS, SamplingParams(**options, **way))]
        for drafter in (DRAFTER, PRIMARY)
        for way in WAYS
        for engine in [toy_engine(drafter=drafter, driver=driver, end=end)[0]]
    ]
    assert all(other == answers[0] for other in answers[1:])
    for tokens, text, _, reason, _ in answers[0]:
        allowed = options.get("allowed_token_ids")
        assert not allowed or set(tokens) <= set(allowed)
        assert len(tokens) >= options["min_tokens"] or reason == "length"
        if options["min_tokens"] == 0:
            assert not any(stop in text for stop in options["stop"])


def test_min_tokens_puts_off_every_kind_of_stop() -> None:
    engine, _ = toy_engine(drafter=PRIMARY)
    text = engine.generate([[1, 2, 3]], SamplingParams(max_new_tokens=20))[0]
    for stop in ({"stop_token_ids": (text.tokens[1],)}, {"stop": (text.text[:2],)}):
        options: dict[str, Any] = {"max_new_tokens": 20, "gamma": 5, **stop}
        early = engine.generate([[1, 2, 3]], SamplingParams(**options))[0]
        late = engine.generate([[1, 2, 3]], SamplingParams(**options, min_tokens=9))[0]
        assert len(early.tokens) < 9 <= len(late.tokens)
        assert late.tokens == text.tokens[: len(late.tokens)]


def test_a_bias_moves_both_models_and_no_log_probability() -> None:
    engine, _ = toy_engine(driver="steps")
    biased = SamplingParams(max_new_tokens=9, logit_bias=((5, 1e4),), logprobs=True)
    (result,) = engine.generate([[1, 2, 3]], biased)
    assert result.tokens == (5,) * 9
    assert result.stats.accepted == result.stats.drafted > 0, "the drafter drafts it too"
    assert result.logprobs is not None and min(result.logprobs) < -0.5


@pytest.mark.parametrize("option", [{"logit_bias": ((1, 2.0),)}, {"allowed_token_ids": (1,)}])
def test_a_fused_round_takes_no_bias(option: dict[str, Any]) -> None:
    engine, executor = toy_engine()
    with pytest.raises(RequestError) as error:
        engine.generate([[1], [2]], SamplingParams(max_new_tokens=4, **option))
    assert str(error.value) == (
        "prompt 0: `logit_bias` and `allowed_token_ids` need rounds that the host puts together. "
        'Got: rounds fused into one graph. Load the bundle with driver="steps", or on an executor '
        "over ONNX graphs."
    )
    assert executor.prefills == []


@pytest.mark.parametrize("option", [{"logit_bias": ((V, 2.0),)}, {"allowed_token_ids": (1, V)}])
def test_a_biased_token_is_one_of_the_models(option: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=rf"must be within 0 .. {V - 1}. Got: {V}"):
        toy_engine(driver="steps")[0].generate([[1]], SamplingParams(max_new_tokens=4, **option))


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"min_tokens": -1}, r"`min_tokens` must be an int of 0 .. max_new_tokens, 64. Got: -1"),
        ({"min_tokens": 65}, r"`min_tokens` must be an int of 0 .. max_new_tokens, 64. Got: 65"),
        ({"logit_bias": {1: 2.0}}, r"`logit_bias` must be a tuple of \(token id, number"),
        ({"logit_bias": ((1, "a"),)}, r"`logit_bias` must be a tuple of \(token id, number"),
        ({"allowed_token_ids": [1]}, "`allowed_token_ids` must be a tuple of token ids"),
    ],
)
def test_options_that_break_their_rule(option: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        SamplingParams(**option)
