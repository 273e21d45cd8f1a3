"""Runs cases of one surface in a process of its own, and says after each how it ended.

python -m tests.fuzz.worker SURFACE SEED FOLDER FIRST LAST MEMORY_MB
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any, TextIO

from tandem_export.errors import TandemError
from tests.fuzz.surface import Run


def main(name: str, seed: str, folder: str, first: str, last: str, memory: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries print
    warnings.simplefilter("ignore")
    from tests.fuzz.surfaces import find_surface

    prepare, run = find_surface(name).load()
    root = Path(folder)
    (root / "outside").mkdir(parents=True)
    (root / "outside" / "secret").write_text("{}")
    (root / "inside").mkdir()
    material = prepare(root / "inside")
    with contextlib.suppress(Exception):  # what is imported on first use
        run(random.Random(0), root / "inside", material)
    os.dup2(1, 2)
    watch = _Watch(root / "outside")
    _limit_memory(int(memory))
    answers.write("ready\n")
    for case in range(int(first), int(last)):
        run_case(run, f"{name}/{seed}/{case}", root / "inside", material, watch, answers)


def _limit_memory(megabytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


class _Watch:
    """Counts what Python opens in a folder that no case may open."""

    def __init__(self, folder: Path) -> None:
        self.seen = 0
        self._folder = str(folder.resolve())
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str | os.PathLike | bytes):
            path = os.path.realpath(os.fsdecode(args[0]))
            self.seen += path.startswith(self._folder)


def run_case(
    run: Run, key: str, folder: Path, material: Any, watch: _Watch, answers: TextIO
) -> None:
    watch.seen = 0
    before = _reset_peak()
    how = "accepted"
    try:
        run(random.Random(key), folder, material)
    except TandemError as error:
        how = "typed" if str(error).strip() else "untyped an empty text"
    except BaseException as error:  # a panic of a native reader is no Exception
        how = f"untyped {describe(error)}"
    peak = _peak() - before
    case = key.rpartition("/")[2]
    answers.write(f"{case}\t{peak // 1024}\t{int(watch.seen > 0)}\t{how}\n")


def describe(error: BaseException) -> str:
    """The class, the product's last line that it came through, and the text."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/tandem_export/" in frame.filename] or frames
    place = f"{own[-1].filename.rpartition('/tandem_export/')[2]}:{own[-1].lineno}"
    text = str(error).encode("ascii", "backslashreplace").decode()
    return f"{type(error).__name__} at {place}: " + " ".join(text[:100].split())


def _reset_peak() -> int:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """The largest resident memory since the last reset, in kB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(*sys.argv[1:])
