"""Commands in processes of their own, ended by signals at several moments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tandem_export.bundle import open_bundle
from tests.parity.bundles import shared_bundle, shared_checkpoint

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
LAST = {signal.SIGINT: "Interrupted.", signal.SIGTERM: "Terminated."}
BUCKETS = ("--batch", "1", "--gamma", "1,2", "--prompt", "4", "--cache", "32", "--max-new", "8")
MAIN = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run in the background
{prelude}
from tandem_export.cli import main
main()
"""


def start(*arguments: object, prelude: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MAIN.format(prelude=prelude), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )


def environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": root, "JAX_PLATFORMS": "cpu"}


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".")]


def wait_for_stage(folder: Path, process: subprocess.Popen[str], old: Sequence[Path] = ()) -> None:
    """Until the build has written its weights beside its place; `old` are other builds' folders."""
    while not any((path / "weights.safetensors").exists() for path in {*hidden(folder)} - {*old}):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


# Compiles its first graph, then the signal comes that many seconds later.
AFTER_LOADING = """
import tandem_export.runtime.executors.jax as target
warm_up = target.JaxExecutor.warm_up
def signal_soon(self, *arguments, **options):
    threading.Timer({delay}, os.kill, (os.getpid(), {number})).start()
    return warm_up(self, *arguments, **options)
target.JaxExecutor.warm_up = signal_soon
"""


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3, 0.7])
def test_a_signal_while_graphs_compile(number: signal.Signals, delay: float) -> None:
    """Here the interpreter's end was a segmentation fault, and jax swallowed one in three."""
    prelude = AFTER_LOADING.format(delay=delay, number=int(number))
    endless = ("--max-new-tokens", 8, "--num-samples", 100_000, "--temperature", 1)
    process = start("generate", shared_bundle(), "w1 w2", *endless, prelude=prelude)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == CODES[number], stderr
    assert "Stopping after this step; once more ends at once." in stderr.splitlines()[:3], stderr
    assert stderr.splitlines()[-1] == LAST[number]
    assert "Exception ignored" not in stderr and "Traceback" not in stderr


@pytest.mark.parametrize("number", CODES)
def test_a_signal_while_a_bundle_is_built(tmp_path: Path, number: signal.Signals) -> None:
    process = start("build", shared_checkpoint(), "--out", tmp_path / "out", *BUCKETS)
    wait_for_stage(tmp_path, process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == CODES[number], stderr
    assert "Stopping after this graph; once more ends at once." in stderr
    assert stderr.splitlines()[-1] == LAST[number]
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_ends_at_once_and_the_next_build_cleans_up(tmp_path: Path) -> None:
    """As `kill -9` does: nothing is left that the next build does not remove."""
    for number in (signal.SIGINT, signal.SIGKILL):
        old = hidden(tmp_path)
        process = start("build", shared_checkpoint(), "--out", tmp_path / "out", *BUCKETS)
        wait_for_stage(tmp_path, process, old)
        process.send_signal(number)
        if number == signal.SIGINT:
            assert process.stderr is not None
            while "Stopping" not in process.stderr.readline():
                pass
            process.send_signal(number)
        process.communicate(timeout=240)
        # The build may have come to its end, cleaned, between the two signals.
        assert process.returncode in ((-number, 130) if number == signal.SIGINT else (-number,))
        assert len(hidden(tmp_path)) == 1 or number == signal.SIGINT
    roles = ("--graphs", "insert", "--platform", "cpu")
    process = start("build", shared_checkpoint(), "--out", tmp_path / "out", *BUCKETS, *roles)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    open_bundle(tmp_path / "out")


def test_of_two_builds_at_once_one_wins_and_the_other_says_so(tmp_path: Path) -> None:
    roles = ("--graphs", "insert", "--platform", "cpu")
    command = ("build", shared_checkpoint(), "--out", tmp_path / "out", *BUCKETS, *roles)
    processes = [start(*command) for _ in range(2)]
    ends = [process.communicate(timeout=240)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 2], ends
    [refused] = [end for end, process in zip(ends, processes, strict=True) if process.returncode]
    assert "is a bundle already" in refused
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    open_bundle(tmp_path / "out")
