"""Ctrl-C and SIGTERM while a command runs: answered at once, never lost, twice ends at once."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NoReturn

import click

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# What a command finishes before it ends: a compiler cannot be interrupted.
_STEPS = {"build": "this graph", "compile": "these graphs"}
# Seconds until an exception that was swallowed is raised once more.
_AGAIN = 0.05
# What is to be done when the process ends, in whichever way.
AT_END = ExitStack()
atexit.register(AT_END.close)


class Terminated(KeyboardInterrupt):
    """SIGTERM: everything that cleans up after Ctrl-C cleans up after it."""


def end_process(code: int) -> NoReturn:
    """Ends the process, whose command was interrupted, without the interpreter's last steps.

    jax compiles in a thread of its own. Ctrl-C ends the wait for it and not the compilation, which
    then uses what the last steps have destroyed: a segmentation fault.
    """
    gc.collect()  # a traceback's cycles hold the engine, which gives back a server's slots
    AT_END.close()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads any more
            stream.flush()
    os._exit(code)


@contextmanager
def signals_end_the_command() -> Iterator[None]:
    """Raises, inside the block, KeyboardInterrupt on SIGINT and Terminated on SIGTERM.

    The first one says at once, on stderr, that the command is stopping. The second one ends the
    process as the system does; a folder that was being built stays until the next build.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ending, hook = _Ending(), sys.unraisablehook
    # A shell lets what it starts in the background ignore Ctrl-C: so it stays.
    heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    handlers = {number: signal.signal(number, ending.on_signal) for number in heard}
    sys.unraisablehook = ending.on_unraisable
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _Ending:
    def __init__(self) -> None:
        self._last: int | None = None
        self._swallowed = False
        self._hook = sys.unraisablehook

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._last is not None and not self._swallowed:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if self._last is None:
            _say(f"Stopping after {_step()}; once more ends at once.")
        self._last, self._swallowed = number, False
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    def on_unraisable(self, lost: sys.UnraisableHookArgs) -> None:
        """Raises once more what came while a destructor or a callback of the collector ran.

        Python drops an exception there: jax's callback, which runs at every collection, would
        swallow one Ctrl-C in three while graphs are compiled.
        """
        if self._last is None or not isinstance(lost.exc_value, KeyboardInterrupt):
            self._hook(lost)
            return
        self._swallowed = True
        again = threading.Timer(_AGAIN, signal.raise_signal, (self._last,))
        again.daemon = True
        again.start()


def _step() -> str:
    ctx = click.get_current_context(silent=True)
    return _STEPS.get(str(ctx and ctx.info_name), "this step")


def _say(text: str) -> None:
    # Not print: the signal may have come in the middle of a write to the same stream.
    with contextlib.suppress(OSError):
        os.write(2, f"\n{text}\n".encode())
