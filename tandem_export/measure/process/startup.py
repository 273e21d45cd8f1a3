"""Time from `load` to the first token, in new processes: compilation cache cold, then warm.

python -m tandem_export.measure.process.startup BUNDLE CACHE PROMPT_AS_JSON EXECUTOR
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tandem_export.measure.process.process import run_module

if TYPE_CHECKING:  # importing it is part of what is measured
    from tandem_export.runtime.executors import ExecutorSpec

_MODULE = "tandem_export.measure.process.startup"


@dataclass(frozen=True, kw_only=True)
class Startup:
    """Seconds from the call of `load` to the first token; importing the engine counts too."""

    cold_seconds: float
    warm_seconds: float


def measure_startup(
    bundle: str | Path, prompt: Sequence[int], *, executor: ExecutorSpec | str = "jax"
) -> Startup:
    """Starts two processes that share a compilation cache which is empty at first.

    Raises:
      BundleError: the bundle cannot be loaded there; the text is that process's last line.
    """
    with tempfile.TemporaryDirectory() as cache:
        arguments = (cache, json.dumps(list(prompt)), str(executor))
        seconds = [float(run_module(_MODULE, bundle, *arguments)) for _ in range(2)]
    return Startup(cold_seconds=seconds[0], warm_seconds=seconds[1])


def _first_token(bundle: str, cache: str, prompt: Sequence[int], executor: str) -> float:
    start = time.perf_counter()
    from tandem_export.runtime import SamplingParams, load

    # Its hashes and dates were checked by the process that asks.
    engine = load(
        bundle,
        executor=executor,
        modes=("speed",),
        compilation_cache=cache,
        allow_expired=True,
    )
    next(iter(engine.stream([prompt], SamplingParams(max_new_tokens=8))))
    return time.perf_counter() - start


if __name__ == "__main__":
    print(_first_token(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]))
