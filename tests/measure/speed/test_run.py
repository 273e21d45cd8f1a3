from __future__ import annotations

import dataclasses
import json

import pytest

from tandem_export.errors import BundleError, ConfigError
from tandem_export.measure import BenchOptions, bench, measure_startup
from tandem_export.measure.speed import run
from tests.parity.bundles import COMPILED, PROMPTS, shared_bundle

SMALL = BenchOptions(
    prompts=2,
    max_new_tokens=6,
    repetitions=2,
    tau=(0.5,),
    startup=False,
    compilation_cache=COMPILED,
)


def test_a_whole_run_with_a_baseline() -> None:
    seen: list[tuple[int, int]] = []
    found = bench(
        shared_bundle(),
        SMALL,
        baseline=shared_bundle("independent"),
        prompts=PROMPTS,
        progress=lambda done, total, _: seen.append((done, total)),
    )
    [table] = found.tables
    assert [line.family for line in table.lines] == [
        "primary",
        "primary",
        "speed",
        "router",
        "standalone",
        "baseline",
    ]
    assert max(line.speed_up for line in table.lines if line.family == "primary") == 1.0
    for line in table.lines:
        assert 0 < line.slowest <= line.tokens_per_second <= line.fastest
        assert 0 <= line.host_share < 1
        assert line.call_share is not None and 0 < line.call_share < 1
        assert (line.mean_accepted is None) == (line.family == "primary")
    assert len(table.lines[2].acceptance_at) == 2
    assert seen == [(i, 18) for i in range(19)], "6 candidates, 2 turns and one to warm up"
    speed, router, baseline = (table.lines[i] for i in (2, 3, 5))
    [row] = found.paper
    assert row.num_samples == 2 and row.gain == speed.speed_up / baseline.speed_up
    assert row.router is not None and row.router.drafter_runs == router.drafter_runs > 0
    # Six tokens: each round commits one to three of them, and drafts at most two.
    assert 2 <= speed.primary_runs <= 6 and speed.drafter_runs <= 2 * speed.primary_runs
    primary = table.lines[0]
    assert (primary.primary_runs, primary.drafter_runs) == (6, 0)
    assert json.loads(json.dumps(found.to_dict()))["bundle"] == "tandem-exact"


def test_sampled_answers_fill_the_rows_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many answers as greedy ones, and those of one prompt differ."""
    answered: list[tuple[int, ...]] = []

    class Engine(run.Engine):
        def generate(self, *args, **kwargs):
            results = super().generate(*args, **kwargs)
            answered.extend(result.tokens for result in results)
            return results

    monkeypatch.setattr("tandem_export.runtime.loading.Engine", Engine)
    options = dataclasses.replace(SMALL, temperature=1.0, repetitions=1, families=("speed",))
    found = run.bench(shared_bundle(), options, prompts=PROMPTS)
    candidates, turns, answers = 3, 2, 2 * 2
    assert len(answered) == candidates * turns * answers and len(set(answered[:2])) == 2
    assert found.paper[0].num_samples == 2


def test_an_unknown_batch_is_named() -> None:
    with pytest.raises(ConfigError, match=r"`batch` must be from .* \[2\]. Got: \[4\]"):
        bench(shared_bundle(), BenchOptions(batch=(4,)), prompts=PROMPTS)


def test_startup_is_faster_with_a_warm_cache() -> None:
    found = measure_startup(shared_bundle(), PROMPTS[1])
    assert 0 < found.warm_seconds < found.cold_seconds


def test_startup_shows_the_last_line_of_what_went_wrong(tmp_path) -> None:
    with pytest.raises(BundleError, match=r"could not load .*Got: .*BundleError: .*not a bundle"):
        measure_startup(tmp_path, [1])
