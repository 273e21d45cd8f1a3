"""What a surface is: real material, changed once a case and given to the product's own reader."""

from __future__ import annotations

import importlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Prepare(Protocol):
    def __call__(self, folder: Path) -> Any:
        """Writes good material into the empty folder, once a worker."""
        ...


class Run(Protocol):
    def __call__(self, rng: random.Random, folder: Path, material: Any) -> None:
        """Changes something, reads it as the product does, and puts it back."""
        ...


@dataclass(frozen=True, kw_only=True)
class Surface:
    """One kind of input.

    Attributes:
      module: in `tests.fuzz.surfaces`; imported by the worker alone.
      prepare, run: names in it, of a `Prepare` and a `Run`.
      cheap: a case takes milliseconds; the others are left to fewer cases.
    """

    module: str
    run: str
    prepare: str = "prepare"
    cheap: bool = True

    def load(self) -> tuple[Prepare, Run]:
        """Imports the module; returns both functions."""
        module = importlib.import_module(f"tests.fuzz.surfaces.{self.module}")
        return getattr(module, self.prepare), getattr(module, self.run)


@contextmanager
def replaced(path: Path, data: bytes | None) -> Iterator[None]:
    """`data` in the place of a file while the block runs; None: a FIFO, a link or nothing."""
    old = path.read_bytes() if path.is_file() else None
    put_file(path, data)
    try:
        yield
    finally:
        put_file(path, old)


def put_file(path: Path, data: bytes | None) -> None:
    if os.path.lexists(path):
        path.unlink()
    if data is not None:
        path.write_bytes(data)


def put_odd(rng: random.Random, path: Path) -> None:
    """A FIFO, or a link that leads outside, in the place of a file."""
    if os.path.lexists(path):
        path.unlink()
    kind = rng.randrange(4)
    if kind == 0:
        os.mkfifo(path)
    elif kind < 3:
        path.symlink_to(
            rng.choice(("../outside/secret", str(path.parent.parent / "outside/secret")))
        )
