"""The real `openai` client against a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from tandem_export.runtime import SamplingParams
from tandem_export.runtime.testing import toy_engine
from tests.server.running import served_engine, serving

GREEDY: dict[str, Any] = {"model": "toy", "temperature": 0, "max_tokens": 20}
PROMPT = "abc the"


def alone(prompt: Any = PROMPT, **options: Any) -> Any:
    params = SamplingParams(**{"max_new_tokens": 20, **options})
    return toy_engine(batch=1)[0].generate(prompt, params)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(served_engine(batch=4)[0]) as address:
        yield address


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    return client_of(address)


def client_of(address: str, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)


def test_a_completion(client: openai.OpenAI) -> None:
    answer = client.completions.create(prompt=PROMPT, **GREEDY)
    (want,) = alone()
    assert answer.choices[0].text == want.text and answer.choices[0].finish_reason == "length"
    assert answer.model == "toy" and answer.object == "text_completion"
    usage = answer.usage
    assert usage is not None and usage.completion_tokens_details is not None
    assert usage.completion_tokens == 20 and usage.prompt_tokens == want.stats.prompt_tokens
    assert usage.total_tokens == usage.prompt_tokens + 20
    details = usage.completion_tokens_details
    assert details.accepted_prediction_tokens == want.stats.accepted > 0
    assert details.rejected_prediction_tokens == want.stats.drafted - want.stats.accepted > 0


def test_a_stream_ends_with_its_usage(client: openai.OpenAI) -> None:
    chunks = list(
        client.completions.create(
            prompt=PROMPT, stream=True, stream_options={"include_usage": True}, **GREEDY
        )
    )
    (want,) = alone()
    assert "".join(c.choices[0].text for c in chunks if c.choices) == want.text
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert len(chunks) > 3 and all(c.usage is None for c in chunks[:-1])
    whole = client.completions.create(prompt=PROMPT, **GREEDY)
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage


def test_a_chat(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "system", "content": "abc"}, {"role": "user", "content": " the"}]
    answer = client.chat.completions.create(messages=messages, **GREEDY)
    assert answer.choices[0].message.content == alone()[0].text
    assert answer.choices[0].message.role == "assistant"
    stream = client.chat.completions.create(messages=messages, stream=True, **GREEDY)
    deltas = [chunk.choices[0].delta for chunk in stream]
    assert "".join(delta.content or "" for delta in deltas) == alone()[0].text
    assert [delta.role for delta in deltas][:2] == ["assistant", None]
    del GREEDY["max_tokens"]
    try:
        long = client.chat.completions.create(messages=messages, **GREEDY)
    finally:
        GREEDY["max_tokens"] = 20
    assert long.usage is not None
    assert long.usage.total_tokens == 48 - 3, "as many tokens as there is room for"


def test_a_template_that_refuses_is_a_bad_request(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "a"}] * 10
    with pytest.raises(openai.BadRequestError, match="too long a talk"):
        client.chat.completions.create(messages=messages, **GREEDY)


def test_sampling_options_reach_the_engine(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="toy",
        prompt=[PROMPT, "ab"],
        temperature=0.9,
        top_p=0.9,
        seed=7,
        n=2,
        max_tokens=12,
        stop=["!"],
        extra_body={
            "top_k": 8,
            "mode": "router",
            "gamma": 5,
            "tau": 0.3,
            "rule": "gumbel",
            "min_tokens": 4,
        },
    )
    options = {"temperature": 0.9, "top_p": 0.9, "top_k": 8, "seed": 7, "rule": "gumbel"}
    options |= {"num_samples": 2, "max_new_tokens": 12, "stop": ("!",), "min_tokens": 4}
    want = [result for prompt in (PROMPT, "ab") for result in alone(prompt, **options)]
    assert [choice.text for choice in answer.choices] == [result.text for result in want]
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.finish_reason for choice in answer.choices] == [r.finish_reason for r in want]


def test_answers_without_a_seed_differ(client: openai.OpenAI) -> None:
    asked = [client.completions.create(model="toy", prompt=PROMPT, max_tokens=20) for _ in range(4)]
    assert len({answer.choices[0].text for answer in asked}) > 1


def test_log_probabilities(client: openai.OpenAI) -> None:
    (want,) = alone(logprobs=True)
    answer = client.completions.create(prompt=PROMPT, logprobs=1, **GREEDY)
    found = answer.choices[0].logprobs
    assert found is not None and found.token_logprobs == pytest.approx(want.logprobs)
    assert found.text_offset is not None and len(found.text_offset) == 20
    messages: Any = [{"role": "user", "content": PROMPT}]
    chat = client.chat.completions.create(messages=messages, logprobs=True, **GREEDY)
    assert chat.choices[0].logprobs is not None and chat.choices[0].logprobs.content is not None
    assert [entry.logprob for entry in chat.choices[0].logprobs.content] == found.token_logprobs


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["toy"]
    assert client.models.retrieve("toy").id == "toy"
    with pytest.raises(openai.NotFoundError, match="`model` must be 'toy', which this server has"):
        client.completions.create(prompt="a", model="other")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_tokens": 64}, "must be at most the cache's 48 positions"),
        ({"temperature": -1}, "`temperature` must be 0"),
        ({"extra_body": {"gamma": 9}}, "`gamma` must be at most 5"),
        ({"frequency_penalty": 0.5}, "frequency_penalty: Input should be 0"),
        ({"extra_body": {"nonsense": 1}}, "nonsense: Extra inputs are not permitted"),
        ({"logit_bias": {"3": 4}}, "need rounds that the host puts together"),
        ({"n": 65}, "must ask for at most 64 answers. Got: 1 prompts, 65 each"),
        ({"prompt": []}, "prompt"),
    ],
)
def test_what_cannot_be_served_is_a_bad_request(
    client: openai.OpenAI, options: dict[str, Any], text: str
) -> None:
    asked: dict[str, Any] = {"prompt": PROMPT, **GREEDY, **options}
    with pytest.raises(openai.BadRequestError) as raised:
        client.completions.create(**asked)
    assert text in str(raised.value)


def test_many_clients_at_once(client: openai.OpenAI) -> None:
    (want,) = alone()

    def ask(number: int) -> bool:
        if number % 2:
            return client.completions.create(prompt=PROMPT, **GREEDY).choices[0].text == want.text
        stream = client.completions.create(prompt=PROMPT, stream=True, **GREEDY)
        return "".join(chunk.choices[0].text for chunk in stream) == want.text

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(40)))


def test_a_bias_where_the_host_puts_rounds_together() -> None:
    with serving(served_engine(driver="steps", chat=False)[0]) as address:
        client = client_of(address)
        answer = client.completions.create(prompt=PROMPT, logit_bias={"9": 100}, **GREEDY)
        assert answer.choices[0].text == "y" * 20
        with pytest.raises(openai.BadRequestError, match="must have a chat template"):
            client.chat.completions.create(messages=[{"role": "user", "content": "a"}], **GREEDY)


def test_the_key() -> None:
    with serving(served_engine()[0], api_key="secret") as address:
        with pytest.raises(openai.AuthenticationError, match="Got: another"):
            client_of(address, "guess").completions.create(prompt=PROMPT, **GREEDY)
        assert client_of(address, "secret").completions.create(prompt=PROMPT, **GREEDY).choices
        assert httpx.get(f"{address}/v1/models").status_code == 401
        for open_to_all in ("/", "/health", "/ready", "/metrics"):
            assert httpx.get(f"{address}{open_to_all}").status_code == 200


def test_a_full_line_says_when_to_come_again() -> None:
    engine, executor = served_engine(batch=1, most_waiting=1)
    executor.rounds_left = threading.Semaphore(0)
    with serving(engine, retry_after=7) as address, ThreadPoolExecutor(2) as pool:
        client = client_of(address)
        first = pool.submit(client.completions.create, prompt=PROMPT, **GREEDY)
        while not executor.prefills:
            time.sleep(0.001)
        second = pool.submit(client.completions.create, prompt=PROMPT, **GREEDY)
        while engine.load != (1, 1):
            time.sleep(0.001)
        with pytest.raises(openai.RateLimitError, match="at most 1 requests may wait") as raised:
            client.completions.create(prompt=PROMPT, **GREEDY)
        assert raised.value.response.headers["retry-after"] == "7"
        executor.rounds_left.release(99)
        assert first.result(10).choices[0].text == second.result(10).choices[0].text


@pytest.mark.parametrize("stream", [True, False])
def test_a_dropped_connection_frees_the_slot(stream: bool) -> None:
    engine, executor = served_engine(batch=1)
    executor.rounds_left = threading.Semaphore(1)
    with serving(engine) as address:
        body = {"prompt": PROMPT, "stream": stream, **GREEDY}
        post = httpx.Client().stream("POST", f"{address}/v1/completions", json=body, timeout=0.3)
        with pytest.raises(httpx.ReadTimeout), post as answer:
            for _ in answer.iter_lines():
                pass
        executor.rounds_left.release(99)
        ends = time.monotonic() + 10
        while engine.stats.requests == 0:
            assert time.monotonic() < ends
            time.sleep(0.01)
        assert len(executor.calls) < 6, "it did not run to its end"
        assert client_of(address).completions.create(prompt="ab", **GREEDY).choices[0].text


def test_errors_in_the_middle_of_a_stream() -> None:
    engine, executor = served_engine(batch=1)
    executor.rounds_left = threading.Semaphore(1)
    with serving(engine, deadline=0.2) as address:
        stream = client_of(address).completions.create(prompt=PROMPT, stream=True, **GREEDY)
        assert next(iter(stream)).choices[0].text
        time.sleep(0.25)
        executor.rounds_left.release(99)
        with pytest.raises(openai.APIError, match=r"its deadline of 0.2 s"):
            list(stream)

        def fail(act: str, tokens: object) -> None:
            raise MemoryError("no room")

        executor.before = fail
        with pytest.raises(openai.InternalServerError, match="Got: MemoryError: no room"):
            client_of(address).completions.create(prompt=PROMPT, **GREEDY)


def test_bodies_are_bounded() -> None:
    with serving(served_engine()[0], most_body_bytes=200, most_prompt_tokens=3) as address:
        long = httpx.post(f"{address}/v1/completions", json={"prompt": "a" * 300, **GREEDY})
        assert long.status_code == 413 and "Too Large" in long.text

        def parts() -> Iterator[bytes]:
            yield from [b"a" * 150] * 3

        assert httpx.post(f"{address}/v1/completions", content=parts()).status_code == 413
        with pytest.raises(openai.BadRequestError, match=r"at most 3 tokens. Got: 4"):
            client_of(address).completions.create(prompt=[1, 2, 3, 4], **GREEDY)


def test_a_closed_engine_is_not_ready() -> None:
    engine, _ = served_engine()
    with serving(engine) as address:
        assert httpx.get(f"{address}/ready").status_code == 200
        engine.close()
        assert httpx.get(f"{address}/ready").status_code == 503
        with pytest.raises(openai.InternalServerError, match="the engine must be open"):
            client_of(address).completions.create(prompt=PROMPT, **GREEDY)
