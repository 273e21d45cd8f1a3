"""The loop that measures."""

from __future__ import annotations

import time

from tandem_export.measure.turns import clocked, median_clocks, medians, take_turns


def test_all_take_turns_and_the_first_turn_does_not_count() -> None:
    order: list[str] = []
    told: list[tuple[int, int, str]] = []

    def action(name: str, samples: list[int]):
        values = iter(samples)
        return lambda: (order.append(name), next(values))[1]

    actions = {"a": action("a", [9, 1, 2]), "b": action("b", [8, 3, 4])}
    samples = take_turns(
        actions, 2, name="turn of {}".format, progress=lambda *step: told.append(step)
    )
    assert samples == {"a": [1, 2], "b": [3, 4]}
    assert order == ["a", "b"] * 3
    names = ["turn of a", "turn of b"] * 3
    assert told == [*((i, 6, name) for i, name in enumerate(names)), (6, 6, "done")]


def test_turns_that_do_not_count_may_be_none_or_many() -> None:
    values = iter(range(10))
    assert take_turns({"a": lambda: next(values)}, 2, unmeasured=0) == {"a": [0, 1]}
    assert take_turns({"a": lambda: next(values)}, 1, unmeasured=4) == {"a": [6]}


def test_a_sleep_is_no_cpu_time() -> None:
    clock = clocked(lambda: time.sleep(0.05))()
    assert clock.wall >= 0.05
    assert clock.cpu < 0.04


def test_medians_of_figures_and_of_calls() -> None:
    samples = [{"x": 1.0, "y": 5.0}, {"x": 9.0, "y": 5.0}, {"x": 2.0, "y": 7.0}]
    assert medians(samples) == {"x": 2.0, "y": 5.0}
    pauses = iter((0.2, 0.0, 0.01, 0.1))  # the first does not count
    clock = median_clocks({"call": lambda: time.sleep(next(pauses))}, 3)["call"]
    assert 0.01 <= clock.wall < 0.09
