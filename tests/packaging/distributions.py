"""The wheel and the source distribution of this tree, and environments that hold nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from hatchling.build import build_sdist, build_wheel

ROOT = Path(__file__).parents[2]
_LOCK = ROOT / "requirements" / "test.txt"
_FOLDER = tempfile.TemporaryDirectory()  # removed at exit
_PIN = re.compile(r"^([\w.-]+==[^\\\n]+?) *\\$", re.MULTILINE)
# An environment must find nothing outside itself.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@cache
def wheel() -> Path:
    """The wheel, built once a process."""
    return _built(build_wheel)


@cache
def sdist() -> Path:
    """The source distribution, built once a process."""
    return _built(build_sdist)


def _built(build) -> Path:
    before = Path.cwd()
    os.chdir(ROOT)  # hatchling builds the project of the current folder
    try:
        return Path(_FOLDER.name, build(_FOLDER.name))
    finally:
        os.chdir(before)


def install(folder: Path, extras: str) -> Path:
    """Makes an environment in `folder` with the wheel and `extras`, such as `[onnx]`; its `bin`.

    Versions are those of the locks, so that a release of a dependency cannot fail the tests.
    """
    pins = folder.with_suffix(".txt")
    pins.write_text("\n".join(_PIN.findall(_LOCK.read_text("utf-8"))), encoding="utf-8")
    _uv("venv", "--python", sys.executable, str(folder))
    requirement = f"tandem-export{extras} @ {wheel().as_uri()}"
    _uv("pip", "install", "--python", str(folder), "--constraint", str(pins), requirement)
    return folder / "bin"


def packages(folder: Path) -> set[str]:
    """Names of the distributions that an environment holds."""
    frozen = _uv("pip", "freeze", "--python", str(folder))
    return {re.split(r"[ =@]", line)[0] for line in frozen.splitlines()}


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program of an environment, with none of this process's modules in its reach."""
    env = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


def _uv(*words: str) -> str:
    done = run(sys.executable, "-m", "uv", "--quiet", *words, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout
