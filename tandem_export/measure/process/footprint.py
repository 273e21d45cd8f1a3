"""What one executor costs a new process: load time and memory.

python -m tandem_export.measure.process.footprint BUNDLE EXECUTOR THREADS_AS_JSON
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tandem_export.jsontypes import JsonObject
from tandem_export.measure.process.process import run_module

if TYPE_CHECKING:  # importing it is part of what is measured
    from tandem_export.runtime.executors import ExecutorSpec

_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class ProcessCost:
    """A new process that makes SPEED and the primary alone ready at the smallest batch.

    Memory is in MiB, after one answer of each, above that before `load`; the engine's own code and
    the weight file's mapped pages count.

    Attributes:
      load_seconds: the time that `load` takes, with the import of the engine.
      resident: the kernel's RSS; a page of a file that is mapped twice counts twice.
      proportional: PSS as the kernel reports it: a shared page is divided among the processes that
        map it.
      anonymous: of those, the memory that is no page of a file.
      weights: the weight file.
    """

    executor: str
    load_seconds: float
    resident: float
    proportional: float
    anonymous: float
    weights: float


def measure_cost(
    path: str | Path, executor: ExecutorSpec, threads: int | None = None
) -> ProcessCost:
    """Loads the bundle in a new process. Needs Linux, for its figures of memory.

    Raises:
      BundleError: it cannot be loaded there; the text is that process's last line.
    """
    module = "tandem_export.measure.process.footprint"
    return ProcessCost(**json.loads(run_module(module, path, str(executor), json.dumps(threads))))


def _own_cost(path: str, executor: str, threads: int | None) -> JsonObject:
    from tandem_export.bundle import open_bundle
    from tandem_export.runtime import SamplingParams, load

    batch = min(open_bundle(path, allow_expired=True).manifest.options.batch)
    before, begin = _memory(), time.perf_counter()
    engine = load(path, executor=executor, batch=batch, threads=threads, allow_expired=True)
    seconds = time.perf_counter() - begin
    for mode in ("speed", "primary"):
        params = SamplingParams(max_new_tokens=8, ignore_end_tokens=True, mode=mode)
        engine.generate([[1] * 16], params)
    grown = {name: value - before[name] for name, value in _memory().items()}
    weights = (Path(path) / "weights.safetensors").stat().st_size / _MIB
    return {"executor": executor, "load_seconds": seconds, "weights": weights} | grown


def _memory() -> dict[str, float]:
    """Returns MiB of this process."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    names = {"resident": "Rss", "proportional": "Pss", "anonymous": "Anonymous"}
    return {name: kib[field] / 1024 for name, field in names.items()}


if __name__ == "__main__":
    print(json.dumps(_own_cost(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))))
