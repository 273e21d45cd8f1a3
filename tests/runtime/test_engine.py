from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tandem_export.errors import ConfigError, RequestError
from tandem_export.runtime import Delta, Engine, RoundKind, SamplingParams
from tandem_export.runtime.testing import CACHE, DRAFTER, PRIMARY, V, primary_text, toy_engine

PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3, 4], [2, 2], [9, 1, 7]]
DRIVERS = ["fused", "steps"]
SHORT = SamplingParams(max_new_tokens=12)


def settle(engine: Engine) -> None:
    """Waits until the engine has done all that it was told before."""
    engine.warm_up(SHORT)


def tokens_of(prompts: Any, params: Any = None, **options: Any) -> list[list[int]]:
    engine, _ = toy_engine(**options)
    return [list(result.tokens) for result in engine.generate(prompts, params)]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("mode", ["speed", "router", "primary"])
def test_greedy_text_is_the_primarys_own(mode: Any, batch: int, driver: str) -> None:
    params = SamplingParams(max_new_tokens=20, mode=mode)
    want = [primary_text(PRIMARY, prompt, 20) for prompt in PROMPTS]
    assert tokens_of(PROMPTS, params, batch=batch, driver=driver) == want


@pytest.mark.parametrize("independent", [False, True], ids=["tandem", "independent"])
def test_drafter_alone(independent: bool) -> None:
    params = SamplingParams(max_new_tokens=20, mode="drafter")
    want = [primary_text(DRAFTER, prompt, 20) for prompt in PROMPTS]
    assert tokens_of(PROMPTS, params, independent=independent) == want


@pytest.mark.parametrize("gamma", [1, 3, 4, 5])
@pytest.mark.parametrize("mode", ["speed", "router"])
def test_gumbel_text_is_the_primarys_own_for_the_seed(mode: Any, gamma: int) -> None:
    options: dict[str, Any] = {"max_new_tokens": 20, "temperature": 0.9, "rule": "gumbel"}
    alone = [SamplingParams(mode="primary", seed=i, **options) for i in range(len(PROMPTS))]
    drafted = [
        SamplingParams(mode=mode, gamma=gamma, seed=i, **options) for i in range(len(PROMPTS))
    ]
    assert tokens_of(PROMPTS, drafted, batch=4) == tokens_of(PROMPTS, alone, batch=1)


@pytest.mark.parametrize("mode", ["speed", "router", "standalone", "standalone_free", "primary"])
@pytest.mark.parametrize("rule", ["leviathan", "gumbel"])
@pytest.mark.parametrize("independent", [False, True], ids=["tandem", "independent"])
def test_steps_and_fused_rounds_agree(mode: Any, rule: Any, independent: bool) -> None:
    params = SamplingParams(
        max_new_tokens=20, temperature=1.1, top_k=9, top_p=0.9, seed=3, mode=mode, rule=rule
    )
    fused, steps = (toy_engine(driver=driver, independent=independent)[0] for driver in DRIVERS)
    one, other = fused.generate(PROMPTS, params), steps.generate(PROMPTS, params)
    assert [r.tokens for r in one] == [r.tokens for r in other]
    assert [r.stats.accepted_at for r in one] == [r.stats.accepted_at for r in other]
    assert fused.stats.drafted == steps.stats.drafted
    assert fused.stats.router_stops == steps.stats.router_stops


def test_a_rows_tokens_do_not_depend_on_the_batch() -> None:
    params = [
        SamplingParams(max_new_tokens=5 + 3 * i, temperature=1.0, seed=i)
        for i in range(len(PROMPTS))
    ]
    assert tokens_of(PROMPTS, params, batch=1) == tokens_of(PROMPTS, params, batch=4)


def test_mixed_modes_come_back_in_request_order() -> None:
    modes: list[Any] = ["speed", "primary", "drafter", "speed", "router"]
    params = [SamplingParams(max_new_tokens=6, mode=mode) for mode in modes]
    engine, executor = toy_engine()
    results = engine.generate(PROMPTS, params)
    assert [r.request for r in results] == [0, 1, 2, 3, 4]
    for result, prompt, mode in zip(results, PROMPTS, modes, strict=True):
        model = DRAFTER if mode == "drafter" else PRIMARY
        assert list(result.tokens) == primary_text(model, prompt, 6)
    assert RoundKind(role="round", gamma=3) in executor.calls, "speed and the primary share rounds"


def test_samples_share_a_prefill_and_differ() -> None:
    engine, executor = toy_engine(batch=2)
    params = SamplingParams(max_new_tokens=12, temperature=1.2, seed=7, num_samples=3)
    results = engine.generate([[1, 2, 3]], params)
    assert [r.sample for r in results] == [0, 1, 2]
    assert len({r.tokens for r in results}) == 3
    assert executor.prefills == [(1, 2, 3)]
    alone = SamplingParams(max_new_tokens=12, temperature=1.2, seed=7)
    assert list(results[0].tokens) == tokens_of([[1, 2, 3]], alone)[0]


def test_the_token_limit_holds_inside_a_block() -> None:
    for limit in range(1, 12):
        params = SamplingParams(max_new_tokens=limit, gamma=5)
        (result,) = toy_engine(drafter=PRIMARY)[0].generate([[1, 2, 3]], params)
        assert list(result.tokens) == primary_text(PRIMARY, [1, 2, 3], limit)
        assert result.finish_reason == "length"


@pytest.mark.parametrize("at", range(12))
def test_a_stop_token_ends_the_answer_inside_a_block(at: int) -> None:
    text = primary_text(PRIMARY, [1, 2, 3], 20)
    stop = text[at]
    first = text.index(stop)
    # A drafter that is always right: whole blocks are committed, so tokens after a stop exist.
    engine, _ = toy_engine(drafter=PRIMARY)
    params = SamplingParams(max_new_tokens=20, gamma=5, stop_token_ids=(stop,), logprobs=True)
    (result,) = engine.generate([[1, 2, 3]], params)
    assert list(result.tokens) == text[: first + 1]
    assert result.finish_reason == "stop"
    assert result.logprobs is not None and len(result.logprobs) == len(result.tokens)
    assert engine.tokenizer is not None
    assert result.text == engine.tokenizer.decode(text[:first]), "the stop token has no text"
    committed = 6 * result.stats.rounds
    assert result.stats.tokens + result.stats.wasted == min(committed, 20)


def test_end_tokens_of_the_bundle_and_how_to_ignore_them() -> None:
    text = primary_text(PRIMARY, [1, 2, 3], 8)
    end = frozenset({text[2]})
    first = text.index(text[2]) + 1
    assert tokens_of([[1, 2, 3]], SamplingParams(max_new_tokens=8), end=end) == [text[:first]]
    on = SamplingParams(max_new_tokens=8, ignore_end_tokens=True)
    assert tokens_of([[1, 2, 3]], on, end=end) == [text]


def test_a_stop_string_cuts_the_text() -> None:
    engine, _ = toy_engine(drafter=PRIMARY)
    whole = engine.generate([[1, 2, 3]], SamplingParams(max_new_tokens=20))[0].text
    stop = whole[4:6]
    (result,) = engine.generate([[1, 2, 3]], SamplingParams(max_new_tokens=20, stop=(stop,)))
    assert result.text == whole[: whole.index(stop)]
    assert result.finish_reason == "stop"
    assert len(result.tokens) < 20


def test_logprobs_are_the_primarys() -> None:
    options: dict[str, Any] = {"max_new_tokens": 10, "logprobs": True}
    engine, _ = toy_engine()
    fast, alone = (
        engine.generate([[1, 2]], SamplingParams(mode=mode, **options))[0]
        for mode in ("speed", "primary")
    )
    assert fast.logprobs is not None and alone.logprobs is not None
    assert fast.logprobs == pytest.approx(alone.logprobs)
    assert len(fast.logprobs) == 10 and max(fast.logprobs) < 0
    assert engine.generate([[1, 2]], SHORT)[0].logprobs is None


def test_the_old_name_of_stream_warns_and_streams() -> None:
    engine, _ = toy_engine()
    with pytest.warns(DeprecationWarning, match="`Engine.stream`"):
        old = engine.generate_stream(PROMPTS[:1], SHORT)
    assert list(old) == list(engine.stream(PROMPTS[:1], SHORT))


def test_stream_deltas_make_up_the_result() -> None:
    params = SamplingParams(max_new_tokens=20, temperature=1.0, seed=5, num_samples=2)
    engine, _ = toy_engine()
    results = engine.generate(PROMPTS, params)
    deltas: list[Delta] = list(engine.stream(PROMPTS, params))
    for result in results:
        own = [d for d in deltas if (d.request, d.sample) == (result.request, result.sample)]
        assert "".join(d.text for d in own) == result.text
        assert [t for d in own for t in d.tokens] == list(result.tokens)
        assert [d.finish_reason for d in own][-1] == result.finish_reason
        assert all(d.finish_reason is None for d in own[:-1])


def test_closing_a_stream_frees_the_slots() -> None:
    engine, executor = toy_engine()
    stream: Any = engine.stream([[1, 2], [3, 4], [5, 6]], SHORT)
    next(stream)
    stream.close()
    settle(engine)
    assert executor.registers == [None, None]
    assert tokens_of([[1]], SHORT) == [list(engine.generate([[1]], SHORT)[0].tokens)]


@pytest.mark.parametrize("batch", [1, 4], ids=["waiting", "running"])
def test_should_cancel_ends_a_prompt(batch: int) -> None:
    engine, executor = toy_engine(batch=batch)
    executor.pause = 0.01  # seconds a round, in which the caller is asked
    params = SamplingParams(max_new_tokens=20)
    results = engine.generate(PROMPTS[:3], params, should_cancel=lambda request: request == 1)
    assert [r.finish_reason for r in results] == ["length", "cancelled", "length"]
    assert (
        list(results[1].tokens) == primary_text(PRIMARY, PROMPTS[1], 20)[: len(results[1].tokens)]
    )
    assert list(results[2].tokens) == primary_text(PRIMARY, PROMPTS[2], 20)
    assert executor.registers == [None] * batch


def test_an_error_in_the_callback_leaves_a_usable_engine() -> None:
    engine, executor = toy_engine()

    def fail(_: Delta) -> None:
        raise KeyError("caller")

    with pytest.raises(KeyError):
        engine.generate(PROMPTS, SHORT, on_delta=fail)
    settle(engine)
    assert executor.registers == [None, None]
    assert len(engine.generate(PROMPTS, SHORT)) == len(PROMPTS)


@pytest.mark.parametrize(
    ("prompt", "options", "text"),
    [
        ([], {}, "prompt 1 is empty"),
        ([1, V], {}, f"token id at place 1 must be within 0 .. {V - 1}. Got: {V}"),
        ([1] * 30, {"max_new_tokens": 16}, f"cache's {CACHE} positions"),
        ([1] * 30, {"max_new_tokens": 16}, "Got: 30 + 16 + 3 = 49"),
        (
            [1],
            {"gamma": 6},
            "`gamma` must be at most 5; the bundle's buckets are (0, 3, 5). Got: 6",
        ),
    ],
    ids=["empty", "token", "room", "numbers", "gamma"],
)
def test_what_cannot_be_served_is_refused_before_anything_starts(
    prompt: list[int], options: dict[str, Any], text: str
) -> None:
    engine, executor = toy_engine()
    params = [SamplingParams(max_new_tokens=4), SamplingParams(**options)]
    with pytest.raises(RequestError) as error:
        engine.generate([[1], prompt], params)
    assert text in str(error.value)
    assert executor.prefills == []


def test_a_full_cache_is_served() -> None:
    prompt = [1 + i % 9 for i in range(CACHE - 20 - 5)]
    params = SamplingParams(max_new_tokens=20, gamma=5)
    assert tokens_of([prompt], params) == [primary_text(PRIMARY, prompt, 20)]


def test_a_gamma_between_buckets_runs_on_the_larger_one() -> None:
    engine, executor = toy_engine(drafter=PRIMARY)
    (result,) = engine.generate([[1, 2]], SamplingParams(max_new_tokens=20, gamma=4))
    assert {kind.gamma for kind in executor.calls} == {5}
    assert len(result.stats.drafted_at) == 4


def test_statistics_add_up() -> None:
    engine, _ = toy_engine(batch=2)
    results = engine.generate(PROMPTS, SamplingParams(max_new_tokens=12))
    for result in results:
        stats = result.stats
        assert stats.tokens == len(result.tokens) == 12
        # Each round commits its accepted drafts and one token of the primary's own.
        assert stats.accepted + stats.rounds == stats.tokens + stats.wasted
        assert stats.verified == stats.drafted == sum(stats.drafted_at)
        assert stats.accepted == sum(stats.accepted_at)
    total = engine.stats
    assert total.tokens == 60 and total.requests == total.samples == 5
    assert total.rounds < sum(result.stats.rounds for result in results), "rows share rounds"
    assert total.drafted_at[0] == sum(result.stats.drafted_at[0] for result in results)
    assert total.to_dict()["compilations_after_warm_up"] == 0
    engine.reset_stats()
    assert engine.stats.tokens == 0


def test_text_prompts_and_tokens_agree() -> None:
    engine, _ = toy_engine()
    assert engine.tokenizer is not None
    ids = engine.tokenizer.encode("ab the").ids
    text, tokens = (engine.generate(prompt, SHORT)[0] for prompt in ("ab the", [ids]))
    assert text.tokens == tokens.tokens
    assert text.text == engine.tokenizer.decode(list(tokens.tokens))


def test_params_and_prompts_must_pair_up() -> None:
    with pytest.raises(RequestError, match=r"one for each of 2\. Got: 1"):
        toy_engine()[0].generate([[1], [2]], [SamplingParams()])


def test_a_flat_list_of_ids_is_refused() -> None:
    flat: Any = [1, 2]
    with pytest.raises(RequestError, match=r"goes in a list of its own\. Got: 1"):
        toy_engine()[0].generate(flat, SHORT)


def test_an_unknown_driver_is_refused() -> None:
    with pytest.raises(ConfigError, match="`driver` must be one of"):
        toy_engine(driver="slow")


def test_a_prompt_is_text_that_utf8_holds_or_whole_numbers() -> None:
    engine, _ = toy_engine()
    with pytest.raises(RequestError, match="prompt 0 must be a text that UTF-8 can write"):
        engine.generate("a \ud800")
    with pytest.raises(RequestError, match=r"prompt 0 must be a text or a list .* Got: \[1.5, 2\]"):
        engine.generate([[1.5, 2]])  # pyright: ignore[reportArgumentType]
    one = SamplingParams(max_new_tokens=1)
    ids = np.array([1, 2])
    assert len(engine.generate([ids], one)) == 1  # pyright: ignore[reportArgumentType]
