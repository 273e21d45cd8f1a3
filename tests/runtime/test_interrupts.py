"""Real signals, raised in this process."""

from __future__ import annotations

import signal
import threading

import pytest

from tandem_export.runtime.interrupts import Interrupts

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers():
    old = {number: signal.getsignal(number) for number in BOTH}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in old.items():
        signal.signal(number, handler)


def test_a_signal_waits_until_it_is_delivered() -> None:
    interrupts, reached = Interrupts(), []
    with pytest.raises(KeyboardInterrupt), interrupts:
        signal.raise_signal(signal.SIGINT)
        reached.append("after the signal")
        interrupts.deliver()
        reached.append("after the delivery")
    assert reached == ["after the signal"]


def test_a_signal_waits_for_the_end_of_the_block() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), Interrupts():
        signal.raise_signal(signal.SIGINT)
        reached.append("after the signal")
    assert reached == ["after the signal"]


def test_a_signal_is_not_lost_when_the_block_fails() -> None:
    with pytest.raises(KeyboardInterrupt) as raised, Interrupts():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("of the block")
    assert isinstance(raised.value.__context__, ValueError)


def test_a_second_signal_does_not_wait() -> None:
    interrupts, reached = Interrupts(), []
    with pytest.raises(KeyboardInterrupt), interrupts:
        signal.raise_signal(signal.SIGINT)
        reached.append("after the first")
        signal.raise_signal(signal.SIGINT)
        reached.append("after the second")
    assert reached == ["after the first"]


@pytest.mark.parametrize("number", BOTH)
def test_the_programs_handler_runs_and_is_there_again(number: signal.Signals) -> None:
    got: list[int] = []

    def handler(which: int, frame: object) -> None:
        got.append(which)

    signal.signal(number, handler)
    interrupts = Interrupts()
    for _ in range(2):
        with interrupts:
            signal.raise_signal(number)
            assert got == []
        assert got == [number] and signal.getsignal(number) is handler
        got.clear()


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_what_is_the_systems_is_left_to_it(handler: signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, handler)
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) is handler


def test_another_thread_holds_nothing_back() -> None:
    seen = []

    def work() -> None:
        with Interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
