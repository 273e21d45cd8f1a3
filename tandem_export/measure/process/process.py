"""Measurements that need a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tandem_export.errors import BundleError


def run_module(module: str, bundle: str | Path, *arguments: str) -> str:
    """Runs `python -m module BUNDLE ARGUMENTS...`, which loads the bundle; returns its last line.

    Raises:
      BundleError: it failed; the text is the last line of its errors.
    """
    command = [sys.executable, "-m", module, str(bundle), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BundleError(f"a new process could not load {str(bundle)!r}. Got: {last}")
    return done.stdout.splitlines()[-1]
