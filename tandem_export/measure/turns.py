"""The one loop that measures: all take turns, so that each meets the same machine; then medians."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from tandem_export.progress import Progress, silent

Key = TypeVar("Key")
Sample = TypeVar("Sample")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What a call took, in seconds: on the wall, and of CPU time of all threads.

    On a machine that does other work the CPU time is the one to read.
    """

    wall: float
    cpu: float


def take_turns(
    actions: Mapping[Key, Callable[[], Sample]],
    repetitions: int,
    *,
    unmeasured: int = 1,
    name: Callable[[Key], str] = str,
    progress: Progress = silent,
) -> dict[Key, list[Sample]]:
    """Runs every action once a turn, in order; returns what each gave, a sample a turn.

    Args:
      actions: what takes turns, by key.
      repetitions: turns that are returned.
      unmeasured: turns before them, in which graphs are compiled and caches are filled.
      name: what `progress` calls an action.
      progress: called before each action, and at the end.
    """
    samples: dict[Key, list[Sample]] = {key: [] for key in actions}
    turns = repetitions + unmeasured
    for turn in range(turns):
        for index, (key, action) in enumerate(actions.items()):
            progress(turn * len(actions) + index, turns * len(actions), name(key))
            samples[key].append(action())
    progress(turns * len(actions), turns * len(actions), "done")
    return {key: taken[unmeasured:] for key, taken in samples.items()}


def clocked(call: Callable[[], object]) -> Callable[[], Clock]:
    """Returns a function that calls `call` and returns what that took."""

    def timed() -> Clock:
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return Clock(wall=wall, cpu=cpu)

    return timed


def median_clocks(
    calls: Mapping[Key, Callable[[], object]], repetitions: int, *, unmeasured: int = 1
) -> dict[Key, Clock]:
    """Returns the median times of calls that take turns."""
    timed = {key: clocked(call) for key, call in calls.items()}
    samples = take_turns(timed, repetitions, unmeasured=unmeasured)
    return {
        key: Clock(wall=median(c.wall for c in taken), cpu=median(c.cpu for c in taken))
        for key, taken in samples.items()
    }


def medians(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns the median of each figure over samples that have the same ones."""
    return {name: median(sample[name] for sample in samples) for name in samples[0]}
