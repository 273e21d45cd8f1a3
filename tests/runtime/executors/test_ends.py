"""Engines whose calls are broken off: the next call gives the tokens of the first."""

from __future__ import annotations

import gc
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import tandem_export
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


@pytest.mark.parametrize("executor", ["jax", "host"])
def test_an_executor_that_fails_at_any_line_is_good_for_the_next_call(executor: str) -> None:
    """What nothing holds back: a second Ctrl-C, no memory, an exception set from another thread."""
    own = engine({"host": "onnxruntime"}.get(executor, executor))
    want = answers(own)
    folder = f"{PACKAGE}/runtime/executors/{executor}"
    with at_line(0, fail, folder) as count:
        answers(own)
    assert count[0] > TRIES
    for number in random.Random(3).sample(range(1, count[0] + 1), TRIES):
        with pytest.raises(MemoryError, match="in the middle"), at_line(number, fail, folder):
            answers(own)
        assert answers(own) == want, f"line {number} of {count[0]}"


def test_a_stream_is_interrupted_between_two_rounds(ctrl_c: Callable[[], None]) -> None:
    own = engine("jax")
    want = answers(own)
    params = SamplingParams(max_new_tokens=8, ignore_end_tokens=True)
    stream = own.generate_stream(PROMPTS, params)
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
    gc.collect()
    assert len(jax.live_arrays()) <= before
