"""A reader with every fault that the driver has to notice; for the driver's own test."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

from tandem_export.errors import ConfigError


class Panic(BaseException):
    """As a native reader's."""


def _raise(error: BaseException) -> None:
    raise error


def _spin() -> None:
    while True:
        pass


FAULTS: dict[str, Any] = {
    "typed": lambda folder: _raise(ConfigError("typed")),
    "accepted": lambda folder: None,
    "untyped": lambda folder: _raise(KeyError("untyped")),
    "empty": lambda folder: _raise(ConfigError("")),
    "panic": lambda folder: _raise(Panic("native")),
    "outside": lambda folder: (folder.parent / "outside" / "secret").read_text(),
    "memory": lambda folder: bytearray(300 * 2**20),
    "crash": lambda folder: os.kill(os.getpid(), signal.SIGSEGV),
    "spin": lambda folder: _spin(),
    "wait": lambda folder: time.sleep(1000),
}


def prepare(folder: Path) -> Iterator[Any]:
    """One fault a case; a worker that is started anew begins anew."""
    del folder
    return cycle(FAULTS.values())


def every(rng: random.Random, folder: Path, material: Any) -> None:
    """The next fault; the first call warms up and is not counted."""
    del rng
    next(material)(folder)


def crash(rng: random.Random, folder: Path, material: Any) -> None:
    _once(rng, folder, "crash")


def spin(rng: random.Random, folder: Path, material: Any) -> None:
    _once(rng, folder, "spin")


def wait(rng: random.Random, folder: Path, material: Any) -> None:
    _once(rng, folder, "wait")


def _once(rng: random.Random, folder: Path, fault: str) -> None:
    """The fault in about every other case, and never while the worker warms up."""
    if rng.getstate() != random.Random(0).getstate() and rng.random() < 0.5:
        FAULTS[fault](folder)
