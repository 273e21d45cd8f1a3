"""Engines whose calls are broken off: the next call gives the tokens of the first."""

from __future__ import annotations

import functools
import gc
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import tandem_export
from tandem_export.errors import BundleError, ExecutorError
from tandem_export.runtime import Engine, SamplingParams
from tests.onnx_bundles import shared_bundle

PACKAGE = str(Path(tandem_export.__file__).parent)
PROMPTS = [[3], [1, 2, 3, 4, 5, 6], [2, 9]]
TRIES = 60


@cache
def engine(executor: str) -> Engine:
    path = shared_bundle("tandem", "stablehlo", "onnx").path
    return tandem_export.load(path, executor=executor, modes=("speed",), threads=1)


def answers(own: Engine) -> list[tuple[int, ...]]:
    params = SamplingParams(max_new_tokens=8, ignore_end_tokens=True)
    return [result.tokens for result in own.generate(PROMPTS, params)]


@contextmanager
def at_line(number: int, action: Callable[[], None], folder: str = PACKAGE) -> Iterator[list[int]]:
    """Runs `action` before the `number`-th line of `folder`'s code; yields how many there were."""
    count = [0]

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(folder):
            return None
        if event == "line":
            count[0] += 1
            if count[0] == number:
                action()
        return trace

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(old)


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, old)


@pytest.mark.parametrize("executor", ["jax", "onnxruntime"])
def test_ctrl_c_at_any_line_is_ctrl_c_and_the_engine_stays_good(
    executor: str, ctrl_c: Callable[[], None]
) -> None:
    own, draw = engine(executor), random.Random(2)
    want = answers(own)
    with at_line(0, ctrl_c) as count:
        answers(own)
    for number in draw.sample(range(1, count[0] + 1), TRIES):
        with pytest.raises(KeyboardInterrupt), at_line(number, ctrl_c):
            answers(own)
        assert answers(own) == want, f"line {number} of {count[0]}"


def fail() -> None:
    raise MemoryError("in the middle of it")


class Traced:
    """An executor whose calls are traced, in whichever thread they come.

    A trace function that raises is dropped by Python, so every call installs it again.
    """

    def __init__(self, executor: Any) -> None:
        self._executor, self.trace = executor, None

    @property
    def rounds(self) -> Any:
        return self._executor.rounds and self

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._executor, name)
        return functools.partial(self._call, value) if callable(value) else value

    def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        sys.settrace(self.trace)
        try:
            return method(*arguments, **options)
        finally:
            sys.settrace(None)

    def prefilling(self, tokens: Any, begun: Any = None) -> Any:
        chunks = self._executor.prefilling(tokens, begun)
        while True:
            try:
                self._call(next, chunks)
            except StopIteration as end:
                return end.value
            yield

    @contextmanager
    def at_line(self, number: int, folder: str) -> Iterator[list[int]]:
        """As the function `at_line`, inside the executor's calls; a MemoryError is raised."""
        with at_line(number, fail, folder) as count:
            self.trace = sys.gettrace()
            sys.settrace(None)
            yield count
            self.trace = None


@pytest.mark.parametrize("executor", ["jax", "host"])
def test_an_executor_that_fails_at_any_line_harms_at_most_one_request(executor: str) -> None:
    """What nothing holds back: no memory, an exception that another thread sets."""
    plain = engine({"host": "onnxruntime"}.get(executor, executor))
    traced = Traced(plain.executor)
    steps: Any = traced
    own, want = Engine(steps, plain.limits), answers(plain)
    folder = f"{PACKAGE}/runtime/executors/{executor}"
    with traced.at_line(0, folder) as count:
        assert answers(own) == want
    assert count[0] > TRIES
    ended = 0
    for number in random.Random(3).sample(range(1, count[0] + 1), TRIES):
        with traced.at_line(number, folder) as reached:
            try:
                assert answers(own) == want, f"line {number} of {count[0]}"
            except ExecutorError as error:
                assert "the prefill" in str(error) and isinstance(error.__cause__, MemoryError)
                ended += 1
        assert reached[0] >= number
        assert answers(own) == want, f"after line {number} of {count[0]}"
    assert 0 < ended < TRIES, "faults in prefills end a request, faults in rounds none"


def test_a_stream_is_interrupted_between_two_rounds(ctrl_c: Callable[[], None]) -> None:
    own = engine("jax")
    want = answers(own)
    params = SamplingParams(max_new_tokens=8, ignore_end_tokens=True)
    stream = own.stream(PROMPTS, params)
    next(stream)
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()  # in the caller's time
    stream.close()  # type: ignore[attr-defined]
    assert answers(own) == want


def test_a_broken_call_leaves_nothing_on_the_device(ctrl_c: Callable[[], None]) -> None:
    import jax

    own = engine("jax")
    answers(own)
    before = len(jax.live_arrays())
    for number in range(200, 260, 7):
        with pytest.raises(KeyboardInterrupt), at_line(number, ctrl_c):
            answers(own)
    own.warm_up(SamplingParams())  # has come when the cancellations have
    gc.collect()
    assert len(jax.live_arrays()) <= before


@pytest.mark.parametrize("executor", ["jax", "onnxruntime"])
def test_weights_that_are_cut_in_place_are_an_error(executor: str, tmp_path: Path) -> None:
    path = shutil.copytree(shared_bundle("tandem", "stablehlo", "onnx").path, tmp_path / "bundle")
    own = tandem_export.load(path, executor=executor, modes=("speed",), threads=1)
    answers(own)
    size = (path / "weights.safetensors").stat().st_size
    os.truncate(path / "weights.safetensors", size - 64)
    rule = f"weights.safetensors must keep its {size} bytes while an engine uses it"
    with pytest.raises(BundleError, match=f"{rule}; it was cut in place. Got: {size - 64}"):
        answers(own)
    with pytest.raises(BundleError, match=rule):
        own.warm_up(SamplingParams(mode="primary"))


def test_a_bundle_that_is_replaced_leaves_its_engine_alone(tmp_path: Path) -> None:
    path = shutil.copytree(shared_bundle("tandem", "stablehlo", "onnx").path, tmp_path / "bundle")
    own = tandem_export.load(path, modes=("speed",))
    want = answers(own)
    shutil.rmtree(path)
    assert answers(own) == want


FORKS = """
import os, sys, warnings
import tandem_export
from tandem_export.errors import TandemError

warnings.simplefilter("ignore")  # jax warns of every fork
executor = sys.argv[2]
own = tandem_export.load(sys.argv[1], executor=executor, modes=("speed",))
short = tandem_export.SamplingParams(max_new_tokens=8)
want = own.generate([[3]], short)[0].tokens
child = os.fork()
if child == 0:
    for action in (
        lambda: own.generate([[3]], short),
        lambda: tandem_export.load(sys.argv[1], executor=executor, modes=("speed",)),
    ):
        try:
            action()
            print("no error", flush=True)
        except TandemError as error:
            print(type(error).__name__, error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
assert own.generate([[3]], short)[0].tokens == want
"""


@pytest.mark.parametrize(
    ("executor", "load"),
    [("jax", "ConfigError executor 'jax' cannot"), ("onnxruntime", "no error")],
)
def test_a_forked_child_is_told_so_and_does_not_hang(executor: str, load: str) -> None:
    path = shared_bundle("tandem", "stablehlo", "onnx").path
    command = [sys.executable, "-c", FORKS, str(path), executor]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
    first, second = ended.stdout.splitlines()
    assert first.startswith("RequestError an engine answers in the process that loaded it: a fork")
    assert second.startswith(load)
