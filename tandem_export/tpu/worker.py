"""One compilation in a process of its own: `python -m tandem_export.tpu.worker JOB.json`.

The TPU compiler may end the process, and it keeps what it was started with; so each graph has its
own. The job names a serialized `jax.export` file, a topology and compiler options; the answer is
one line of JSON on stdout. It is to be started with `environment.ENVIRONMENT`, and with a pipe on
stdin that nobody writes to: when it closes, the process ends, so that no compiler outlives the
command that waits for it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tandem_export.jsontypes import JsonObject
from tandem_export.tpu.schedule import parse
from tandem_export.tpu.schedule.walk import walk

if TYPE_CHECKING:
    from jax import export
    from jax.sharding import Mesh, Sharding
    from jax.stages import Compiled


def devices(topology: str) -> Any:
    """Returns the abstract chips of a topology such as `v5e:2x2`."""
    from jax.experimental import topologies

    # One chip is not a whole host, which the compiler must be told.
    bounds = {"chips_per_host_bounds": [1, 1, 1]} if topology.endswith("1x1") else {}
    return topologies.get_topology_desc(platform="tpu", topology_name=topology, **bounds).devices


def compile_serialized(data: bytes, topology: str, options: dict[str, str | bool]) -> Compiled:
    """Compiles a serialized export for a topology, its state donated again."""
    import jax
    import numpy as np
    from jax import export
    from jax.sharding import Mesh

    exported = export.deserialize(bytearray(data))
    mesh = Mesh(np.array(devices(topology)[: exported.nr_devices]), ("chips",))
    leaves = [
        jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
        for leaf, sharding in zip(exported.in_avals, _shardings(exported, mesh), strict=True)
    ]
    arguments, _ = jax.tree.unflatten(exported.in_tree, leaves)
    traced = jax.jit(exported.call, donate_argnums=(1,)).trace(*arguments)
    return traced.lower(lowering_platforms=("tpu",)).compile(compiler_options=options)


def _shardings(exported: export.Exported, mesh: Mesh) -> list[Sharding]:
    """Returns each argument's sharding; what the export leaves open is on every chip."""
    from jax.sharding import NamedSharding, PartitionSpec

    given = exported.in_shardings_jax(mesh)
    return [s or NamedSharding(mesh, PartitionSpec()) for s in given]


def facts(compiled: Any, loops: int) -> JsonObject:
    """Returns memory as the compiler reports it, and what the schedule moves; see `GraphReport`."""
    memory, module = compiled.memory_analysis(), parse(compiled.as_text())
    least, most = (walk(module, loops=loops, branch=side) for side in ("least", "most"))
    return {
        "argument_bytes": memory.argument_size_in_bytes,
        "alias_bytes": memory.alias_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "peak_bytes": memory.peak_memory_in_bytes,
        "hbm_bytes": int(least.bytes),
        "hbm_bytes_sampling": int(most.bytes),
        "prefetched_bytes": int(least.prefetched),
        "cycles": int(least.cycles),
        "cycles_sampling": int(most.cycles),
        "copies": dict(most.copies),
        "collectives": {kind: int(count) for kind, count in least.collectives.items()},
        "collective_bytes": int(least.collective_bytes),
        "kernels": int(least.kernels),
        "kernel_bytes": int(least.kernel_bytes),
    }


def run(job: JsonObject) -> JsonObject:
    """Compiles `job`; a refusal of the compiler is an answer, `{"error": text}`."""
    import jax

    start = time.perf_counter()
    try:
        data = Path(job["export"]).read_bytes()
        compiled = compile_serialized(data, job["topology"], job["options"])
    except (jax.errors.JaxRuntimeError, ValueError, NotImplementedError) as error:
        return {"error": str(error), "compile_seconds": time.perf_counter() - start}
    seconds = time.perf_counter() - start
    return facts(compiled, job["loops"]) | {"compile_seconds": seconds}


def _end_with_stdin() -> None:
    os.read(0, 1)  # not sys.stdin: its lock would be held when the process ends
    os._exit(1)


def main() -> None:
    """Reads the job file that the command line names, prints the answer."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    print(json.dumps(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))


if __name__ == "__main__":
    main()
