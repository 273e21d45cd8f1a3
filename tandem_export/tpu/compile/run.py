"""Compiles graphs for v5e with the real compiler: each in its own process, answers kept."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tandem_export.bundle import GraphRecord
from tandem_export.errors import ConfigError
from tandem_export.jsontypes import JsonObject
from tandem_export.progress import Progress, silent
from tandem_export.tpu import worker
from tandem_export.tpu.chips import Slice
from tandem_export.tpu.compile.report import GraphReport, make_report
from tandem_export.tpu.environment import ENVIRONMENT
from tandem_export.tpu.schedule import hlo, moves, walk

_VMEM = "xla_tpu_scoped_vmem_limit_kib"
# A buffer comes onto the chip only if all of it is used there. Else a small cache is copied in for
# its few new rows, whole, and whole it is written back: 14 % more bytes in a drafter's step.
_WHOLE_USE = {"xla_tpu_msa_inefficient_use_to_copy_ratio": "1.0"}
# How long one compilation may take, seconds.
_TIMEOUT = 900


@dataclass(frozen=True, kw_only=True)
class CompileJob:
    """A graph to compile.

    Attributes:
      record: what the manifest says of it.
      export: its serialized `jax.export` form.
      split: the parameters, caches and outputs of which each chip has its share only.
    """

    record: GraphRecord
    export: bytes
    split: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class CompileOptions:
    """Where and how to compile.

    Attributes:
      target: the slice of chips.
      compiler: options of the TPU compiler, name -> value.
      cache: a folder that keeps answers between runs; None keeps none.
      processes: how many compile at once; None is one for each core.
    """

    target: Slice
    compiler: Mapping[str, str]
    cache: Path | None = None
    processes: int | None = None


def compile_options(
    target: Slice, *, vmem: int | None = None, reuse: bool = True, processes: int | None = None
) -> CompileOptions:
    """Returns the options of one report.

    Args:
      target: the slice of chips.
      vmem: on-chip memory that one operation may use, MiB; None is the compiler's own, 16.
      reuse: keep answers in the user's cache folder, and use those that are there.
      processes: see `CompileOptions`.
    """
    cache = _user_cache() if reuse else None
    compiler = compiler_options(vmem)
    return CompileOptions(target=target, compiler=compiler, cache=cache, processes=processes)


def compiler_options(vmem: int | None) -> dict[str, str]:
    """Returns the TPU compiler's options for `vmem` MiB of on-chip memory for one operation."""
    return _WHOLE_USE | ({} if vmem is None else {_VMEM: str(vmem * 1024)})


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "tandem-export" / "compile"


def require_libtpu() -> str:
    """Returns the installed version of the TPU compiler.

    Raises:
      ConfigError: it is not installed; the text says how to get it.
    """
    try:
        return metadata.version("libtpu")
    except metadata.PackageNotFoundError as error:
        hint = "Install it: pip install 'tandem-export[tpu]'. No TPU is needed."
        raise ConfigError(f"this command needs the TPU compiler, package 'libtpu'. {hint}") from (
            error
        )


def compile_jobs(
    jobs: Sequence[CompileJob], options: CompileOptions, progress: Progress = silent
) -> list[GraphReport]:
    """Compiles every job, in the order given; a graph that fails is reported, not raised.

    Raises:
      ConfigError: the TPU compiler is not installed.
    """
    require_libtpu()
    done: list[GraphReport] = []
    with ThreadPoolExecutor(options.processes or os.cpu_count()) as pool:
        for report in pool.map(lambda job: _compile(job, options), jobs):
            done.append(report)
            progress(len(done), len(jobs), report.name)
    return done


def _compile(job: CompileJob, options: CompileOptions) -> GraphReport:
    cached = None if options.cache is None else options.cache / f"{_key(job, options)}.json"
    if cached is not None and cached.is_file():
        answer = json.loads(cached.read_text(encoding="utf-8"))
        return make_report(job.record, answer | {"cached": True}, options.target, job.split)
    answer = _run_worker(job, options)
    if cached is not None and not answer.pop("died", False):
        cached.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(cached, json.dumps(answer))
    return make_report(job.record, answer | {"cached": False}, options.target, job.split)


def _write_whole(path: Path, text: str) -> None:
    """Writes a file that another process may read or write at the same time."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


def _run_worker(job: CompileJob, options: CompileOptions) -> JsonObject:
    with tempfile.TemporaryDirectory() as folder:
        export, description = Path(folder, "graph.bin"), Path(folder, "job.json")
        export.write_bytes(job.export)
        description.write_text(
            json.dumps(
                {
                    "export": str(export),
                    "topology": options.target.topology,
                    "options": dict(options.compiler),
                    "loops": _loops(job.record),
                }
            ),
            encoding="utf-8",
        )
        return _answer([sys.executable, "-m", worker.__name__, str(description)])


def _answer(command: list[str]) -> JsonObject:
    # The worker ends when this pipe does: with the answer, or with this process.
    read, write = os.pipe()
    try:
        done = subprocess.run(
            command,
            stdin=read,
            env=os.environ | ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {_TIMEOUT} s", "died": True, "compile_seconds": _TIMEOUT}
    finally:
        os.close(read)
        os.close(write)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        told = (done.stderr.strip() or "nothing was printed").splitlines()[-1]
        text = f"the compiler's process ended with {done.returncode}: {told}"
        return {"error": text, "died": True, "compile_seconds": 0.0}
    return json.loads(lines[-1])


def _loops(record: GraphRecord) -> int:
    """Returns how often the draft loop runs, which the rows decide; of `generate`, in one round."""
    return max(record.gamma or 1, 1) if record.role.startswith("round") else 1


def _key(job: CompileJob, options: CompileOptions) -> str:
    """Hashes graph, compiler, options, and the code that reads the answer."""
    sources = [Path(str(m.__file__)).read_bytes() for m in (worker, hlo, moves, walk)]
    text = json.dumps(
        [
            [metadata.version(tool) for tool in ("libtpu", "jax", "jaxlib")],
            options.target.topology,
            sorted(options.compiler.items()),
            _loops(job.record),
        ]
    )
    return hashlib.sha256(b"\0".join([job.export, text.encode(), *sources])).hexdigest()
