"""An `Executor` over graphs of the `rows` contract: caches in host memory, rounds on the host."""

from __future__ import annotations

import copy
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
    Begun,
    Counters,
    PrefilledRow,
    Prefilling,
    Registers,
    RoundKind,
    chunks_after,
    finish,
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

    @property
    def nbytes(self) -> int:
        """See `PrefilledRow.nbytes`."""
        return sum(rows.nbytes for rows in self.rows.values())


class HostExecutor:
    """Prefill and single steps; the engine puts rounds together from them.

    A step reads the caches where they lie and returns new rows, which are copied into place:
    nothing of a cache's size moves.
    """

    def __init__(
        self, bundle: Bundle, backend: Backend, *, batch: int, batches: Sequence[int] = ()
    ) -> None:
        """Allocates the caches of `batch` slots; loads no graph yet.

        Args:
          bundle: with graphs of the `rows` contract.
          backend: runs them.
          batch: slots to begin with.
          batches: further ones that `resize` may change to; their caches are made when it does.

        Raises:
          BundleError: the bundle has no `primary_block` of this batch and width 1.
        """
        self.batch, self.counters = batch, Counters()
        self.batches = tuple(sorted({batch, *batches}))
        self._bundle = bundle
        self._backend: Backend | None = backend
        self._file = MappedFile(bundle.weights())
        block = bundle.find("primary_block", batch=batch, width=1)
        self.cache = cache_of(block)
        check_room(block.name, block.state)
        graphs = bundle.manifest.graphs
        self._prefills = {g.width: g for g in graphs if g.role == "prefill" and g.width}
        self._caches_of: dict[int, dict[ModelName, HostCache]] = {}
        self.chunk = max(self._prefills)
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
        for batch in self.batches:
            for kind in kinds:
                for graph in round_graphs(self._bundle, batch, kind, steps=True):
                    self._load(graph, self._batch_caches(batch))
        self.counters.warm += self.counters.compilations - before

    @property
    def _caches(self) -> dict[ModelName, HostCache]:
        return self._batch_caches(self.batch)

    def _batch_caches(self, batch: int) -> dict[ModelName, HostCache]:
        """Returns the caches of a batch; graphs are bound to them, so they stay."""
        if batch not in self._caches_of:
            graphs = self._bundle.manifest.graphs
            own = [g for g in graphs if g.batch == batch and g.role != "prefill"]
            self._caches_of[batch] = make_caches(own, batch, self.cache)
        return self._caches_of[batch]

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
        assert self._backend is not None, "it is closed"
        return _Step(run=self._backend.load(graph, arrays), arrays=arrays, rows=tuple(rows))

    def _call(self, step: _Step, **inputs: np.ndarray) -> Arrays:
        for name, value in inputs.items():
            np.copyto(step.arrays[name], value)
        step.run()
        for cache, rows in step.rows:
            cache.write(rows, step.arrays["start"])
        return step.arrays

    def prefill(self, tokens: Sequence[int]) -> PrefilledRow:
        """See `Steps.prefill`; the prefix is a copy of the rows that the prompt fills."""
        return finish(self.prefilling(tokens))

    def prefilling(self, tokens: Sequence[int], begun: Begun | None = None) -> Prefilling:
        """See `Steps.prefilling`; all prompts use one scratch row, one after another."""
        self._file.check()
        if begun is not None:
            assert isinstance(begun.row, _Row), "a row of another executor"
            for model, rows in begun.row.rows.items():
                self._scratch[model].put_rows(0, rows[:, :, :, : begun.count])
        count = len(tokens) - 1
        chunks = chunks_after(begun, count, tuple(self._prefills), self.cache)
        for number, (at, width) in enumerate(chunks):
            if number:
                yield
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

    def resize(self, order: Sequence[int | None]) -> None:
        """See `Steps.resize`; the rows are copied into the caches of the other batch."""
        before, self.batch = self._caches, len(order)
        if before is self._caches:
            before = copy.deepcopy(before)
        for model, cache in self._caches.items():
            cache.take(before[model], order)

    def close(self) -> None:
        """See `Steps.close`: sessions, caches and the mapped weights go."""
        self._steps.clear()
        self._caches_of.clear()
        self._scratch.clear()
        self._backend = None

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


def thread_count(threads: int | None) -> int:
    """Returns how many threads an engine gets: all that this process may use, if None.

    Raises:
      ConfigError: less than one.
    """
    if threads is not None and threads < 1:
        raise ConfigError(f"`threads` must be None or at least 1. Got: {threads}")
    return len(os.sched_getaffinity(0)) if threads is None else threads
