"""What Prometheus reads adds up to the statistics of the requests."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tandem_export.errors import DeadlineError
from tandem_export.runtime import SamplingParams
from tandem_export.server.metrics import Metrics
from tests.server.running import served_engine, serving


def values(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name.removeprefix("tandem_"), tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_sums_are_those_of_the_requests() -> None:
    engine, executor = served_engine(batch=2)
    with serving(engine) as address:
        params = [
            SamplingParams(max_new_tokens=20),
            SamplingParams(max_new_tokens=9, mode="router", gamma=5, num_samples=2),
            SamplingParams(max_new_tokens=20, mode="primary"),
            SamplingParams(max_new_tokens=20, mode="standalone"),
            SamplingParams(max_new_tokens=20, stop_token_ids=(4,)),
        ]
        results = engine.generate([[1, 2, 3], [4], [5, 6], [7], [9, 1]], params)
        executor.pause = 0.03
        with pytest.raises(DeadlineError):
            engine.generate([[1, 2]], SamplingParams(max_new_tokens=40), deadline=0.02)
        executor.pause = 0
        found = values(httpx.get(f"{address}/metrics").text)
    stats = engine.stats
    assert found["generation_tokens_total", ()] == stats.tokens
    assert stats.tokens >= sum(len(result.tokens) for result in results)
    assert found["wasted_tokens_total", ()] == stats.wasted
    assert found["spec_decode_num_draft_tokens_total", ()] == stats.drafted
    assert found["spec_decode_num_accepted_tokens_total", ()] == stats.accepted
    assert found["spec_decode_num_drafts_total", ()] == stats.drafted_at[0]
    for place, accepted in enumerate(stats.accepted_at):
        name = "spec_decode_num_accepted_tokens_per_pos_total"
        assert found[name, (str(place),)] == accepted
    rounds = [value for (name, _), value in found.items() if name == "rounds_total"]
    assert sum(rounds) == stats.rounds == found["round_seconds_count", ()]
    ended = {labels[0]: v for (name, labels), v in found.items() if name == "request_success_total"}
    reasons = [result.finish_reason for result in results]
    assert ended == {reason: reasons.count(reason) for reason in set(reasons)}
    assert found["request_failure_total", ("deadline",)] == 1
    assert found["time_to_first_token_seconds_count", ()] >= len(results)
    first = sum(result.stats.first_token_seconds for result in results)
    assert found["time_to_first_token_seconds_sum", ()] >= first
    assert found["num_requests_running", ()] == found["num_requests_waiting", ()] == 0


def test_an_observer_that_fails_costs_no_request(caplog: pytest.LogCaptureFixture) -> None:
    engine, _ = served_engine()

    class Failing:
        calls = 0

        def on_round(self, seen: object) -> None:
            self.calls += 1
            raise ValueError("no")

        def on_answer(self, seen: object) -> None:
            raise AssertionError("it is told nothing more")

    failing, metrics = Failing(), Metrics(engine)
    engine.observe(failing)
    engine.generate([[1, 2, 3]], SamplingParams(max_new_tokens=20))
    assert failing.calls == 1 and "an observer failed" in caplog.text
    assert values(metrics.text().decode())["generation_tokens_total", ()] == 20
