from __future__ import annotations

import dataclasses

import pytest

from tandem_export.errors import ConfigError
from tandem_export.measure import BenchOptions, Candidate, Measurement
from tandem_export.measure.speed.candidates import candidates
from tandem_export.measure.speed.report import table
from tandem_export.runtime import Limits, SamplingParams

LIMITS = Limits(
    batch=1,
    cache=64,
    vocab_size=9,
    gammas={"round": (0, 1, 3, 5), "round_router": (1, 3, 5)},
    gamma=3,
)


def turn(decode: float, tokens: int = 100, host: float = 0.1) -> Measurement:
    return Measurement(
        seconds=decode + 1,
        decode_seconds=decode,
        host_seconds=host,
        call_seconds=decode / 4,
        tokens=tokens,
        primary_runs=20.0 * decode,
        drafter_runs=60.0,
        mean_accepted=2.0,
        acceptance_at=(0.9, 0.5),
    )


def test_ratios_are_over_the_primary_at_its_best_width() -> None:
    """Medians 10, 5 and 2 seconds for 100 tokens: 10, 20 and 50 tokens per second."""
    families = ("primary", "primary", "speed")
    own = [Candidate(name=f, family=f, params=SamplingParams()) for f in families]
    turns = [
        [turn(10), turn(9), turn(30)],
        [turn(5), turn(5), turn(4)],
        [turn(2), turn(1), turn(4)],
    ]
    found = table(1, own, turns)
    assert [line.tokens_per_second for line in found.lines] == [10, 20, 50]
    assert [line.speed_up for line in found.lines] == [0.5, 1.0, 2.5]
    # With prefill: 100 tokens in 11, 6 and 3 seconds.
    assert found.lines[2].speed_up_with_prefill == pytest.approx(2.0)
    assert found.lines[2].slowest == 25 and found.lines[2].fastest == 100
    assert found.lines[2].host_share == pytest.approx(0.05)
    assert found.lines[2].call_share == 0.25
    best = found.best("primary")
    assert best is not None and best.tokens_per_second == 20
    assert found.best("router") is None


def test_every_bucket_takes_part() -> None:
    options = BenchOptions(tau=(0.4,), max_new_tokens=7, temperature=0.5)
    every = list(candidates(LIMITS, options, LIMITS))
    assert [c.name for c in every if c.family == "primary"] == [
        "primary, width 1",
        "primary, width 2",
        "primary, width 4",
        "primary, width 6",
    ]
    assert [c.params.gamma for c in every if c.family == "speed"] == [1, 3, 5]
    assert [c.params.gamma for c in every if c.family == "baseline"] == [1, 3, 5]
    [router] = [c for c in every if c.family == "router"]
    assert (router.params.mode, router.params.gamma, router.params.tau) == ("router", 3, 0.4)
    assert all(c.params.ignore_end_tokens and c.params.temperature == 0.5 for c in every)


def test_sampled_answers_are_the_samples_of_one_request() -> None:
    limits = dataclasses.replace(LIMITS, batch=4)
    for temperature, count in ((0.0, 1), (1.0, 4)):
        every = list(candidates(limits, BenchOptions(temperature=temperature), limits))
        assert {c.params.num_samples for c in every} == {count}


def test_without_a_router_and_baseline() -> None:
    limits = Limits(batch=1, cache=64, vocab_size=9, gammas={"round": (0, 2)}, gamma=2)
    families = {c.family for c in candidates(limits, BenchOptions(), None)}
    assert families == {"primary", "speed", "standalone"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"repetitions": 0}, "`repetitions` must be at least 1. Got: 0"),
        ({"families": ("speeed",)}, "`families` must be from .*Got: 'speeed'"),
    ],
    ids=["repetitions", "families"],
)
def test_options_are_checked(options, text) -> None:
    with pytest.raises(ConfigError, match=text):
        BenchOptions(**options)


def test_an_unknown_gamma_is_named() -> None:
    rule = r"`gamma` must be from the bundle's buckets \[1, 3, 5\]. Got: \[3, 4\]"
    with pytest.raises(ConfigError, match=rule):
        list(candidates(LIMITS, BenchOptions(gamma=(3, 4)), None))
