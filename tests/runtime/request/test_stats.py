from __future__ import annotations

import json

from tandem_export.runtime import EngineStats, RequestStats


def test_acceptance_by_place() -> None:
    stats = RequestStats()
    stats.add_draft(3, 1, verified=True, stopped=False)
    stats.add_draft(2, 2, verified=True, stopped=True)
    stats.rounds = 2
    assert stats.drafted_at == [2, 2, 1]
    assert stats.accepted_at == [2, 1, 0]
    assert stats.acceptance_at == [1.0, 0.5, 0.0]
    assert (stats.drafted, stats.verified, stats.accepted, stats.router_stops) == (5, 5, 3, 1)
    assert stats.mean_accepted == 1.5


def test_a_total_adds_places_of_different_lengths() -> None:
    total = EngineStats(rounds=2)
    for drafted, accepted in ((1, 1), (3, 0)):
        own = RequestStats(tokens=accepted + 1, rounds=1)
        own.add_draft(drafted, accepted, verified=True, stopped=False)
        total.add_request([own])
    assert (total.drafted_at, total.accepted_at) == ([2, 1, 1], [1, 0, 0])
    assert (total.tokens, total.rounds, total.samples) == (3, 2, 2)


def test_dict_is_json_and_empty_ratios_are_null() -> None:
    for stats in (RequestStats(), EngineStats()):
        values = json.loads(json.dumps(stats.to_dict()))
        assert values["mean_accepted"] is values["tokens_per_second"] is None


def test_host_time_is_what_the_phases_leave() -> None:
    stats = EngineStats(seconds=5, prefill_seconds=1, insert_seconds=0.5, round_seconds=3)
    assert stats.to_dict()["host_seconds"] == 0.5
