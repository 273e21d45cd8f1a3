"""An `Executor` over graphs of the `rows` contract: caches in host memory, rounds on the host."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tandem_export.bundle import Bundle, GraphRecord, MappedFile
from tandem_export.contract import ModelName
from tandem_export.errors import ConfigError
from tandem_export.runtime.executors.host.cache import HostCache, make_caches
from tandem_export.runtime.executors.room import check_room
from tandem_export.runtime.rounds.buckets import cache_of, round_graphs
from tandem_export.runtime.rounds.protocol import (
    Counters,
    PrefilledRow,
    Registers,
    RoundKind,
    prefill_chunks,
)

Arrays = dict[str, np.ndarray]


class Backend(Protocol):
    """An engine that runs one graph over arrays which stay where they are."""

    def load(self, graph: GraphRecord, arrays: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """Loads a graph; each call of the result reads and writes `arrays`, by name, in place."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Step:
    """A loaded graph, its arrays, and where the rows that it makes go."""

    run: Callable[[], object]
    arrays: Arrays
    rows: tuple[tuple[HostCache, np.ndarray], ...]


@dataclass(frozen=True)
class _Row(PrefilledRow):
    """The rows that a prompt fills, of each model, `[L, 2, K, T, H]`."""

    rows: dict[ModelName, np.ndarray]


class HostExecutor:
    """Prefill and single steps; the engine puts rounds together from them.

    A step reads the caches where they lie and returns new rows, which are copied into place:
    nothing of a cache's size moves.
    """

    def __init__(self, bundle: Bundle, backend: Backend, *, batch: int) -> None:
        """Allocates the caches; loads no graph yet.

        Raises:
          BundleError: the bundle has no `primary_block` of this batch and width 1.
        """
        self.batch, self.counters = batch, Counters()
        self._bundle, self._backend = bundle, backend
        self._file = MappedFile(bundle.weights())
        block = bundle.find("primary_block", batch=batch, width=1)
        self.cache = cache_of(block)
        check_room(block.name, block.state)
        graphs = bundle.manifest.graphs
        self._prefills = {g.width: g for g in graphs if g.role == "prefill" and g.width}
        steps = [g for g in graphs if g.batch == batch and g.role != "prefill"]
        self._caches = make_caches(steps, batch, self.cache)
        self._scratch = make_caches(self._prefills.values(), 1, self.cache)
        self._steps: dict[str, _Step] = {}

    @property
    def rounds(self) -> None:
        """See `Steps.rounds`: the host puts rounds together."""

    def warm_up(self, kinds: Sequence[RoundKind], *, steps: bool) -> None:
        """See `Steps.warm_up`; rounds are always made of single steps."""
        del steps
        before = self.counters.compilations
        for graph in self._prefills.values():
            self._load(graph, self._scratch)
        for kind in kinds:
            for graph in round_graphs(self._bundle, self.batch, kind, steps=True):
                self._load(graph, self._caches)
        self.counters.warm += self.counters.compilations - before

    def _find(self, role: str, *, width: int | None = None) -> GraphRecord:
        return self._bundle.find(role, batch=self.batch, width=width)

    def _load(self, graph: GraphRecord, caches: Mapping[ModelName, HostCache]) -> _Step:
        if graph.name not in self._steps:
            self._file.check()
            self._steps[graph.name] = self._bind(graph, caches)
            self.counters.compilations += 1
        return self._steps[graph.name]

    def _bind(self, graph: GraphRecord, caches: Mapping[ModelName, HostCache]) -> _Step:
        arrays: Arrays = {name: a for cache in caches.values() for name, a in cache.layers.items()}
        rows: list[tuple[HostCache, np.ndarray]] = []
        for cache in caches.values():
            block, views = cache.block(graph.width or 0)
            if views.keys() <= {spec.name for spec in graph.outputs}:
                rows.append((cache, block))
                arrays |= views
        for spec in (*graph.inputs, *graph.outputs):
            arrays.setdefault(spec.name, np.zeros(spec.shape, spec.dtype))
        return _Step(run=self._backend.load(graph, arrays), arrays=arrays, rows=tuple(rows))

    def _call(self, step: _Step, **inputs: np.ndarray) -> Arrays:
        for name, value in inputs.items():
            np.copyto(step.arrays[name], value)
        step.run()
        for cache, rows in step.rows:
            cache.write(rows, step.arrays["start"])
        return step.arrays

    def prefill(self, tokens: Sequence[int]) -> _Row:
        """See `Steps.prefill`; the prefix is a copy of the rows that the prompt fills."""
        self._file.check()
        count = len(tokens) - 1
        for at, width in prefill_chunks(count, tuple(self._prefills), self.cache):
            chunk = tokens[at : min(at + width, count)]
            block = np.zeros((1, width), np.int32)
            block[0, : len(chunk)] = chunk
            step = self._load(self._prefills[width], self._scratch)
            self._call(step, tokens=block, start=np.array([at], np.int32))
        return _Row({model: cache.copy_rows(count) for model, cache in self._scratch.items()})

    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        """See `Rounds.insert`; the registers are the caller's."""
        del registers
        assert isinstance(row, _Row), "a row of another executor"
        for model, rows in row.rows.items():
            self._caches[model].put_rows(slot, rows)

    def release(self, slot: int) -> None:
        """See `Rounds.release`; an idle row is like any other."""

    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        """See `Steps.primary_block`; the result holds until the next call of this width."""
        step = self._load(self._find("primary_block", width=tokens.shape[1]), self._caches)
        return self._call(step, tokens=tokens, start=start)["logits"]

    def drafter_step(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        """See `Steps.drafter_step`; the result holds until the next call of this width."""
        step = self._load(self._find("drafter_step", width=tokens.shape[1]), self._caches)
        return self._call(step, tokens=tokens, start=start)["logits"]

    def router(self, logits: np.ndarray) -> np.ndarray:
        """See `Steps.router`; the result holds until the next call."""
        step = self._load(self._find("router"), {})
        return self._call(step, logits=logits)["acceptance"]

    def close(self) -> None:
        """See `Steps.close`; all that it holds is in this process."""


def thread_count(threads: int | None) -> int:
    """Returns how many threads an engine gets: all that this process may use, if None.

    Raises:
      ConfigError: less than one.
    """
    if threads is not None and threads < 1:
        raise ConfigError(f"`threads` must be None or at least 1. Got: {threads}")
    return len(os.sched_getaffinity(0)) if threads is None else threads
