"""Runs the cases of a surface in worker processes; what dies or hangs is counted, and goes on."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

MEMORY_MB = 3000  # that a case may take on top


@dataclass(kw_only=True)
class Tally:
    """How the cases of one surface ended."""

    cases: int = 0
    accepted: int = 0
    typed: int = 0
    hangs: list[int] = field(default_factory=list)
    crashes: list[int] = field(default_factory=list)
    outside: list[int] = field(default_factory=list)
    untyped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, int] = field(default_factory=dict)
    largest_mb: int = 0

    def add(self, line: str) -> int:
        """Counts a worker's line; returns the case."""
        case, peak, outside, how = line.split("\t", 3)
        self.cases += 1
        self.largest_mb = max(self.largest_mb, int(peak))
        if outside == "1":
            self.outside.append(int(case))
        if how in ("accepted", "typed"):
            setattr(self, how, getattr(self, how) + 1)
        else:
            self.untyped[how.partition(": ")[0]] += 1
            self.examples.setdefault(how, int(case))
        return int(case)

    @property
    def good(self) -> bool:
        """Whether every case ended well."""
        return self.cases > 0 and not (self.untyped or self.hangs or self.crashes or self.outside)


class WorkerFailed(RuntimeError):
    """A worker ended before its first case."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a case hangs: seconds of the processor, or of the clock while it may only wait."""

    processor: float = 10.0
    clock: float = 120.0


def run_surface(
    name: str,
    *,
    seed: int,
    first: int,
    cases: int,
    limits: Limits | None = None,
    each: Callable[[Tally], None] | None = None,
) -> Tally:
    """The tally of `cases` cases from number `first` on."""
    tally, at = Tally(), first
    while at < first + cases:
        at = _run_worker(name, seed, at, first + cases, tally, limits or Limits(), each)
    return tally


def _run_worker(
    name: str,
    seed: int,
    first: int,
    last: int,
    tally: Tally,
    limits: Limits,
    each: Callable[[Tally], None] | None,
) -> int:
    """Runs one worker until it is done, dies or hangs; returns the next case."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        args = [name, str(seed), f"{folder}/cases", str(first), str(last), str(MEMORY_MB)]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", *args],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            at, ended = _follow(process, first, last, tally, limits, each)
        finally:
            _end(process)
    if at == last:
        return at
    if at < 0:
        raise WorkerFailed(f"the worker of {name!r} ended before its first case: {ended}")
    (tally.hangs if ended == "hang" else tally.crashes).append(at)
    tally.cases += 1
    return at + 1


def _follow(
    process: subprocess.Popen[bytes],
    first: int,
    last: int,
    tally: Tally,
    limits: Limits,
    each: Callable[[Tally], None] | None,
) -> tuple[int, str]:
    """Reads answers; returns the case that did not answer (-1: none was begun), and why."""
    assert process.stdout is not None
    selector = selectors.DefaultSelector()
    selector.register(process.stdout, selectors.EVENT_READ)
    at, rest = -1, b""
    clock, processor = time.monotonic(), _processor(process.pid)
    while at < last:
        if not selector.select(1.0):
            waited, used = time.monotonic() - clock, _processor(process.pid) - processor
            if at >= 0 and (waited > limits.clock or used > limits.processor):
                return at, "hang"
            continue
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            return at, f"exit code {process.wait()}"
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            at = first if line == b"ready" else tally.add(line.decode()) + 1
        clock, processor = time.monotonic(), _processor(process.pid)
        if each is not None:
            each(tally)
    return at, "done"


def _processor(pid: int) -> float:
    """Seconds of the processor that a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
