"""Runs a bundle's exported graphs with JAX: weights and caches stay on the device."""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from jax import export
from jax.stages import Compiled, Lowered

from tandem_export.bundle import Bundle, GraphRecord, MappedFile, TensorSpec
from tandem_export.contract import REGISTERS, Register, is_prefix, prefix_name, without_prefix
from tandem_export.errors import BundleError
from tandem_export.runtime.executors.caching import use_compilation_cache
from tandem_export.runtime.executors.room import check_room
from tandem_export.runtime.rounds.buckets import cache_of, round_graphs
from tandem_export.runtime.rounds.inputs import RowInputs
from tandem_export.runtime.rounds.protocol import (
    Begun,
    Counters,
    PrefilledRow,
    Prefilling,
    Registers,
    RoundKind,
    RoundResult,
    chunks_after,
    finish,
)

Arrays = dict[str, jax.Array]


class _Loaded(NamedTuple):
    """A compiled graph, its parameters, and the names of the state that it takes."""

    run: Any
    params: Arrays
    state: tuple[str, ...]


def _put(array: np.ndarray | np.generic) -> jax.Array:
    # may_alias=False: the host's array may change, or be donated, while the device still reads it.
    return jax.device_put(array, may_alias=False)


def _zeros(specs: Sequence[TensorSpec]) -> Arrays:
    return {spec.name: _put(np.zeros(spec.shape, jax.numpy.dtype(spec.dtype))) for spec in specs}


def _move(state: Arrays, rows: jax.Array, idle: jax.Array) -> Arrays:
    """Returns the state of a batch whose row i was row `rows[i]`; where `idle`, without budget."""
    moved = {name: array[rows] for name, array in state.items()}
    budget = moved[Register.BUDGET]
    return moved | {Register.BUDGET: jax.numpy.where(idle, 0, budget)}


_moved: Callable[[Arrays, jax.Array, jax.Array], Arrays] = jax.jit(_move)


def compiler_options(bundle: Bundle, graph: str, platform: str) -> dict[str, str | bool]:
    """Returns the options that `compile` found for `graph` on `platform`; empty if it never ran."""
    by_platform = bundle.manifest.tuning.compiler_options
    return dict(by_platform.get(platform, {}).get(graph, {}))


def _compile(lowered: Lowered, name: str, options: dict[str, str | bool]) -> Compiled:
    """Compiles with `options`, or with a warning without: compilers drop options, bundles stay."""
    try:
        return _compile_apart(lowered, options)
    except jax.errors.JaxRuntimeError as error:  # pyright: ignore[reportUnknownVariableType]
        if not options:
            raise
        hint = "Run `tandem-export compile` on the bundle with this compiler, or ignore it."
        text = f"graph {name} is compiled without the options of its manifest: {error}. {hint}"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return _compile_apart(lowered, {})


def _compile_apart(lowered: Lowered, options: dict[str, str | bool]) -> Compiled:
    """Compiles in a thread that the interpreter waits for before it ends.

    In the main thread Ctrl-C would end the wait for jaxlib's compiler, which works on in a thread
    of jaxlib and crashes when the interpreter destroys jax's client under it.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="compile")
    compiled = pool.submit(lambda: lowered.compile(compiler_options=options))
    pool.shutdown(wait=False)
    return compiled.result()


def read_export(bundle: Bundle, graph: GraphRecord) -> tuple[export.Exported, tuple[Any, ...]]:
    """Returns a graph and the shapes of its arguments: params, state, inputs.

    Raises:
      BundleError: it was not built for this platform, does what its role may not do, cannot be
        read, or its arguments are not those of the manifest.
    """
    stored = bundle.artifact(graph.name, export.default_export_platform())
    try:
        exported = export.deserialize(bytearray(stored.jax_export))
        tree = cast("Any", exported.in_tree)  # of a class that jax does not name
        args, kwargs = jax.tree.unflatten(tree, exported.in_avals)
        given = [{name: _spec(leaf) for name, leaf in part.items()} for part in args]
    except Exception as error:  # The reader raises whatever its parsers do.
        hint = f"Is it of this jax, {jax.__version__}? Rebuild the bundle."
        rule = f"graph {graph.name!r} must be what jax.export makes"
        raise BundleError(
            f"{rule}. Got: {str(error)[:200] or type(error).__name__}. {hint}"
        ) from error
    # The bytes around the module say where in them it lies: jax would compile what is there.
    if exported.mlir_module_serialized != stored.stablehlo or exported.nr_devices != 1:
        rule = f"graph {graph.name!r} must be an export of its StableHLO module, for one device"
        raise BundleError(f"{rule}. Got: another module. Do not run it: rebuild the bundle.")
    listed = (graph.params, graph.state, graph.inputs)
    want = [{spec.name: (spec.shape, spec.dtype) for spec in specs} for specs in listed]
    if given != want or kwargs:
        rule = f"graph {graph.name!r} must take the arguments that the manifest lists for it"
        raise BundleError(f"{rule}. Got: those of another graph. Rebuild the bundle.")
    return exported, args


def _spec(leaf: Any) -> tuple[tuple[int, ...], str]:
    return tuple(leaf.shape), str(leaf.dtype)


@dataclass(frozen=True)
class _Row(PrefilledRow):
    """A row's state on the device, `[1, ...]` each."""

    state: Arrays

    @property
    def nbytes(self) -> int:
        """See `PrefilledRow.nbytes`: a whole row of both models' caches."""
        return sum(array.nbytes for array in self.state.values())


class JaxExecutor:
    """An `Executor` over some batch buckets, one at a time.

    One copy of the weights serves all graphs. The state (caches and registers) goes from a graph's
    outputs to the next one's donated arguments and never through the host. A call that does not
    end, whatever the reason, has donated the state and put nothing in its place: all rows are then
    lost, and `insert` and `release` begin with an empty state.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        batch: int,
        batches: Sequence[int] = (),
        compilation_cache: str | Path | None = None,
    ) -> None:
        """Places the weights on the device; compiles nothing yet.

        Args:
          bundle: with StableHLO graphs.
          batch: slots to begin with.
          batches: further ones that `resize` may change to.
          compilation_cache: a folder for compiled graphs.

        Raises:
          BundleError: the bundle has no `insert` graph of this batch.
        """
        use_compilation_cache(compilation_cache)
        self.batch, self.batches = batch, tuple(sorted({batch, *batches}))
        self.counters = Counters()
        self._bundle = bundle
        self._insert = bundle.find("insert", batch=batch)
        if jax.default_backend() == "cpu":
            check_room(self._insert.name, self._insert.state)
        self._state: Arrays = _zeros(self._insert.state)
        self._sound = True  # False while a call has donated the state
        self.cache = cache_of(self._insert)
        graphs = bundle.manifest.graphs
        self._prefills = {g.width: g for g in graphs if g.role == "prefill" and g.width}
        self.chunk = max(self._prefills)
        self._weights = self._place_weights()
        self._loaded: dict[str, _Loaded] = {}
        self._found: dict[tuple[str, int, int | None, int | None], GraphRecord] = {}
        self._uploaded: tuple[RowInputs, str, Arrays] | None = None

    def _place_weights(self) -> Arrays:
        """Places the tensors that graphs of these batches use."""
        graphs = self._bundle.manifest.graphs
        mine = [g for g in graphs if g.batch in self.batches or g.role == "prefill"]
        names = {spec.name for graph in mine for spec in graph.params}
        host = self._bundle.weights()
        # The CPU's arrays lie in the mapped file; other devices have copies.
        self._file = MappedFile(host if jax.default_backend() == "cpu" else {})
        return {name: jax.device_put(host[name]) for name in sorted(names)}

    @property
    def rounds(self) -> JaxExecutor:
        """See `Steps.rounds`: every round is one graph."""
        return self

    def warm_up(self, kinds: Sequence[RoundKind], *, steps: bool) -> None:
        """See `Steps.warm_up`."""
        before = self.counters.compilations
        for graph in self._prefills.values():
            self._load(graph)
        for batch in self.batches:
            self._load(self._bundle.find("insert", batch=batch))
            for kind in kinds:
                for graph in round_graphs(self._bundle, batch, kind, steps=steps):
                    self._load(graph)
        self.counters.warm += self.counters.compilations - before

    def _find(
        self, role: str, *, gamma: int | None = None, width: int | None = None
    ) -> GraphRecord:
        key = (role, self.batch, gamma, width)
        if key not in self._found:
            self._found[key] = self._bundle.find(role, batch=self.batch, gamma=gamma, width=width)
        return self._found[key]

    def _load(self, graph: GraphRecord) -> _Loaded:
        if graph.name not in self._loaded:
            self._file.check()
            exported, args = read_export(self._bundle, graph)
            lowered = jax.jit(exported.call, donate_argnums=(1,)).lower(*args)
            options = compiler_options(self._bundle, graph.name, jax.default_backend())
            run = _compile(lowered, graph.name, options)
            params = {spec.name: self._weights[spec.name] for spec in graph.params}
            state = tuple(spec.name for spec in graph.state)
            self._loaded[graph.name] = _Loaded(run, params, state)
            self.counters.compilations += 1
        return self._loaded[graph.name]

    def _call(self, graph: GraphRecord, state: Arrays, inputs: Mapping[str, Any]) -> Arrays:
        """Runs a graph; its new state replaces the old one in `state`."""
        loaded = self._load(graph)
        donated = {name: state[name] for name in loaded.state}
        outputs, after = loaded.run(loaded.params, donated, inputs)
        state.update(after)
        return outputs

    def prefill(self, tokens: Sequence[int]) -> PrefilledRow:
        """See `Steps.prefill`; chunks have the widths of the bundle's prompt buckets."""
        return finish(self.prefilling(tokens))

    def prefilling(self, tokens: Sequence[int], begun: Begun | None = None) -> Prefilling:
        """See `Steps.prefilling`; several prompts may be in progress."""
        self._file.check()
        state, count = self._begin(begun), len(tokens) - 1
        chunks = chunks_after(begun, count, tuple(self._prefills), self.cache)
        for number, (at, width) in enumerate(chunks):
            if number:
                yield
            block = np.zeros((1, width), np.int32)
            chunk = tokens[at : min(at + width, count)]
            block[0, : len(chunk)] = chunk
            inputs = {"tokens": _put(block), "start": _put(np.array([at], np.int32))}
            self._call(self._prefills[width], state, inputs)
            jax.block_until_ready(state)
        return _Row(state)

    def _begin(self, begun: Begun | None) -> Arrays:
        """Returns the state of a row without a token, or a copy of another one's."""
        if begun is not None:
            assert isinstance(begun.row, _Row), "a row of another executor"
            # A copy: the graphs are given the state, and the other row stays.
            return {name: jax.numpy.copy(array) for name, array in begun.row.state.items()}
        row = _zeros([spec for spec in self._insert.inputs if is_prefix(spec.name)])
        return {name: row[prefix_name(name)] for name in without_prefix(row)}

    def _change(self, graph: GraphRecord, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Runs a graph over the state of all rows and waits for its outputs and its new state."""
        self._load(graph)
        self._sound = False
        called = self._call(graph, self._state, inputs)
        # jax.device_get costs the host 80 us a round more than this.
        outputs = {name: np.asarray(value) for name, value in called.items()}
        if not outputs:
            jax.block_until_ready(self._state)
        self._sound = True
        return outputs

    def _mend(self) -> None:
        if not self._sound:
            self._state = _zeros(self._insert.state)
            self._sound = True

    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        """See `Rounds.insert`."""
        self._mend()
        assert isinstance(row, _Row), "a row of another executor"
        values = {name: np.array([getattr(registers, name)], np.int32) for name in REGISTERS}
        state = row.state | {name: _put(value) for name, value in values.items()}
        inputs = {prefix_name(name): value for name, value in state.items()}
        self._change(self._insert, inputs | {"slot": _put(np.int32(slot))})

    def release(self, slot: int) -> None:
        """See `Rounds.release`."""
        self._mend()
        budget = np.array(self._state[Register.BUDGET])
        budget[slot] = 0
        self._state[Register.BUDGET] = _put(budget)

    def round(self, kind: RoundKind, rows: RowInputs) -> RoundResult:
        """See `Rounds.round`."""
        graph = self._find(kind.role, gamma=kind.gamma)
        inputs = self._row_inputs(graph, rows)
        out = self._change(graph, inputs)
        return RoundResult(drafter_steps=int(out.pop("drafter_steps")), **out)

    def _row_inputs(self, graph: GraphRecord, rows: RowInputs) -> Arrays:
        """Returns the sampling inputs on the device; uploaded when `rows` is a new object."""
        uploaded = self._uploaded
        if uploaded is None or uploaded[0] is not rows or uploaded[1] != graph.name:
            by_name = rows.by_name()
            arrays = {spec.name: _put(by_name[spec.name]) for spec in graph.inputs}
            self._uploaded = uploaded = (rows, graph.name, arrays)
        return uploaded[2]

    def resize(self, order: Sequence[int | None]) -> None:
        """See `Steps.resize`; the device copies the rows."""
        self._mend()
        rows = np.array([0 if at is None else at for at in order], np.int32)
        idle = np.array([at is None for at in order])
        state: Arrays = _moved(self._state, _put(rows), _put(idle))
        self._insert = self._bundle.find("insert", batch=len(order))
        jax.block_until_ready(state)
        self._state, self.batch = state, len(order)

    def close(self) -> None:
        """See `Steps.close`: weights, state and compiled graphs go, and memory with them."""
        self._loaded.clear()
        self._weights, self._state, self._uploaded = {}, {}, None

    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        """See `Steps.primary_block`."""
        graph = self._find("primary_block", width=tokens.shape[1])
        return self._change(graph, {"tokens": _put(tokens), "start": _put(start)})["logits"]

    def drafter_step(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        """See `Steps.drafter_step`."""
        graph = self._find("drafter_step", width=tokens.shape[1])
        return self._change(graph, {"tokens": _put(tokens), "start": _put(start)})["logits"]

    def router(self, logits: np.ndarray) -> np.ndarray:
        """See `Steps.router`."""
        return self._change(self._find("router"), {"logits": _put(logits)})["acceptance"]
