"""Seconds that the first call of a SavedModel's signature takes, in new processes.

python -m tandem_export.measure.process.first_call FOLDER SIGNATURE CACHE
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tandem_export.measure.process.process import run_module
from tandem_export.serving import LocalModel, warmup_inputs

_MODULE = "tandem_export.measure.process.first_call"


def measure_first_call(folder: str | Path, signature: str) -> dict[str, float]:
    """Measures seconds with an empty compilation cache, `cold`, and with the filled one, `warm`.

    Raises:
      BundleError: the model cannot be loaded there; the text is that process's last line.
    """
    with tempfile.TemporaryDirectory() as cache:
        return {
            state: float(run_module(_MODULE, folder, signature, cache))
            for state in ("cold", "warm")
        }


def _first_call(folder: str, signature: str, cache: str) -> float:
    model = LocalModel(folder, compilation_cache=cache)
    inputs = warmup_inputs(model.signatures[signature].inputs, scratch=0)
    start = time.perf_counter()
    model.call(signature, inputs)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(_first_call(*sys.argv[1:]))
