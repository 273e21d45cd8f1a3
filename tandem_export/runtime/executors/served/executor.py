"""Runs a bundle's SavedModel: caches and registers stay in the model, rows are slots of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from tandem_export.bundle import Bundle, GraphRecord
from tandem_export.contract import REGISTERS, graph_name
from tandem_export.errors import ServingError
from tandem_export.runtime.executors.served.agreement import check_round, check_served
from tandem_export.runtime.executors.served.history import Prompt, Row, blocks
from tandem_export.runtime.executors.served.slots import Held, Slots
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
    finish,
    prefill_chunks,
)
from tandem_export.serving import Interrupted, Model, NotHeld, warmup_inputs

Done = TypeVar("Done")
# Seconds to wait before a lost session is built up again: a server that restarts needs some.
_PAUSES = (0.1, 0.5, 2.0)


class SessionExecutor:
    """An `Executor` over a served model, in this process or behind a client.

    It holds one slot for each row and one to prefill in. A round is one call. When the model loses
    the slots (restart, new version) or a call gets no answer, it claims others and replays what
    each row has committed.

    The slots are freed when it is closed or collected; `close` also closes the model.

    Attributes:
      replays: how often that happened.
    """

    def __init__(
        self, bundle: Bundle, *, batch: int, model: Model, batches: Sequence[int] = ()
    ) -> None:
        """Compiles and claims nothing yet.

        Args:
          bundle: with a SavedModel.
          batch: slots to begin with.
          model: runs it.
          batches: further ones that `resize` may change to; slots for the largest are claimed.

        Raises:
          BundleError: the bundle has no SavedModel, or none with this batch.
          ServingError: `model` is not what the bundle lists.
        """
        self._bundle = bundle.in_form("savedmodel")
        facts = bundle.savedmodel
        check_served(model, facts.signatures, self._bundle.manifest.graphs)
        self.batch, self.counters, self.replays = batch, Counters(), 0
        self.batches = tuple(sorted({batch, *batches}))
        self._model, self._slots = model, Slots(model, max(self.batches))
        # Where each row lies among the slots that are held; rows are moved by this list alone.
        self._places = list(range(max(self.batches)))
        self._scratch = facts.slots
        insert = self._bundle.find("insert", batch=batch)
        self.cache = cache_of(insert)
        graphs = self._bundle.manifest.graphs
        self._widths = tuple(sorted(g.width for g in graphs if g.role == "prefill" and g.width))
        self.chunk = None
        self._rows: list[Row | None] = [None] * batch
        self._staged: Prompt | None = None
        self._called: set[str] = set()

    def close(self) -> None:
        """See `Steps.close`; frees the slots and gives up the model."""
        self._slots.close()
        self._model.close()

    @property
    def rounds(self) -> SessionExecutor:
        """See `Steps.rounds`: every round is one call."""
        return self

    def warm_up(self, kinds: Sequence[RoundKind], *, steps: bool) -> None:
        """See `Steps.warm_up`; runs each signature once on the scratch slot."""
        names = ["insert", *(graph_name("prefill", 1, width=width) for width in self._widths)]
        for kind in kinds:
            for batch in self.batches:
                graphs = round_graphs(self._bundle, batch, kind, steps=steps)
                names += [graph.name for graph in graphs]
        before = self.counters.compilations
        for name in dict.fromkeys(names):
            if name not in self._called:
                self._run(name, warmup_inputs(self._model.signatures[name].inputs, self._scratch))
        self.counters.warm += self.counters.compilations - before

    def _name(self, role: str, *, gamma: int | None = None, width: int | None = None) -> str:
        return self._bundle.find(role, batch=self.batch, gamma=gamma, width=width).name

    def prefill(self, tokens: Sequence[int]) -> PrefilledRow:
        """See `Steps.prefill`."""
        return finish(self.prefilling(tokens))

    def prefilling(self, tokens: Sequence[int], begun: Begun | None = None) -> Prefilling:
        """See `Steps.prefilling`; all prompts use the staging slot, one after another."""
        assert begun is None, "a row stays in the model, and no prompt can begin with it"
        prefix = Prompt(tuple(tokens[:-1]))
        chunks = list(prefill_chunks(len(prefix.tokens), self._widths, self.cache))
        self._staged, replays, done = None, self.replays, 0
        for end in range(1, len(chunks) + 1):
            if end > 1:
                yield

            def run(held: Held, end: int = end) -> None:
                nonlocal replays, done
                if self.replays != replays:  # the slot that held the chunks before is lost
                    replays, done = self.replays, 0
                self._run_chunks(held, prefix, chunks[done:end])

            self._recovering(run)
            done = end
        self._recovering(lambda held: None)
        self._staged = prefix if self.replays == replays else None
        return prefix

    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        """See `Rounds.insert`."""
        assert isinstance(row, Prompt), "a row of another executor"
        prefix = row

        def put(held: Held) -> None:
            if self._staged is not prefix:  # replaced by a later prompt, or lost
                self._stage(held, prefix)
            self._put(held, held.rows[self._places[slot]], registers)

        self._rows[slot] = None
        self._recovering(put)
        self._rows[slot] = Row(prefix, registers)

    def resize(self, order: Sequence[int | None]) -> None:
        """See `Steps.resize`; the rows stay where they are, and calls name more or fewer."""
        kept = [self._places[at] for at in order if at is not None]
        unused = iter([place for place in self._places if place not in kept])
        rows = [None if at is None else self._rows[at] for at in order]
        used = [next(unused) if at is None else self._places[at] for at in order]
        self._places, self._rows, self.batch = [*used, *unused], rows, len(order)

    def release(self, slot: int) -> None:
        """See `Rounds.release`; from now on the row's place runs on the scratch slot."""
        self._rows[slot] = None

    def round(self, kind: RoundKind, rows: RowInputs) -> RoundResult:
        """See `Rounds.round`."""
        graph = self._bundle.find(kind.role, batch=self.batch, gamma=kind.gamma)
        by_name = rows.by_name()
        sampling = {spec.name: by_name[spec.name] for spec in graph.inputs}
        out = self._recovering(lambda held: self._on_rows(held, graph.name, sampling))
        check_round(graph.name, out)
        for row, tokens, count in zip(self._rows, out["tokens"], out["count"], strict=True):
            if row is not None:
                row.commit(tokens[:count].tolist(), width=kind.gamma + 1)
        steps = int(out.pop("drafter_steps"))
        return RoundResult(drafter_steps=steps, **out)

    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        """See `Steps.primary_block`."""
        name = self._name("primary_block", width=tokens.shape[1])
        return self._single(name, {"tokens": tokens, "start": start})["logits"]

    def drafter_step(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        """See `Steps.drafter_step`."""
        name = self._name("drafter_step", width=tokens.shape[1])
        return self._single(name, {"tokens": tokens, "start": start})["logits"]

    def router(self, logits: np.ndarray) -> np.ndarray:
        """See `Steps.router`."""
        return self._run(self._name("router"), {"logits": logits})["acceptance"]

    def _single(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return self._on_rows(self._slots.claim(), name, inputs)
        except (NotHeld, Interrupted) as error:
            self._lose()
            rule = "a session that runs by single steps must keep its slots"
            raise ServingError(f"{rule}; start the request again. Got: {error}") from error

    def _on_rows(
        self, held: Held, name: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Calls over all rows; those without a request run on the scratch slot."""
        slots = [
            self._scratch if row is None else held.rows[place]
            for place, row in zip(self._places, self._rows, strict=False)
        ]
        return self._session(held, name, slots, inputs)

    def _session(
        self, held: Held, name: str, slots: Sequence[int], inputs: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        addressed = {"slots": _ints(slots), "owner": _ints([held.owner])}
        out = self._run(name, addressed | dict(inputs))
        self._slots.check(out)
        del out["epoch"]
        return out

    def _run(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        out = self._model.call(name, inputs)
        if name not in self._called:
            self._called.add(name)
            self.counters.compilations += 1
        return out

    def _recovering(self, action: Callable[[Held], Done]) -> Done:
        """Runs `action`; if the slots are lost, claims others, replays the rows and tries again."""
        for pause in (*_PAUSES, None):
            try:
                if self._slots.held is None:
                    self._replay(self._slots.claim())
                held = self._slots.held
                assert held is not None
                return action(held)
            except (NotHeld, Interrupted):
                self._lose()
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _lose(self) -> None:
        self._slots.drop()
        self._staged = None
        self.replays += 1

    def _replay(self, held: Held) -> None:
        """Builds every row up again from what it has committed.

        The prompt goes the way it went before. The answer is prefilled, which an independent
        drafter's rows need, and then run through the primary at the width of its rounds, which
        gives the very cache rows that the rounds had (P1 in a model without such a block).
        """
        for slot, row in enumerate(self._rows):
            if row is None:
                continue
            self._stage(held, row.prefix)
            self._stage_answer(held, row)
            self._put(held, held.rows[self._places[slot]], row.now)
            self._staged = None  # the staging slot holds more than the prompt

    def _stage(self, held: Held, prefix: Prompt) -> None:
        """Prefills the staging slot with the prompt."""
        chunks = prefill_chunks(len(prefix.tokens), self._widths, self.cache)
        self._run_chunks(held, prefix, chunks)
        self._staged = prefix

    def _run_chunks(self, held: Held, prefix: Prompt, chunks: Iterable[tuple[int, int]]) -> None:
        for at, width in chunks:
            self._chunk(held, graph_name("prefill", 1, width=width), prefix.tokens, at, width)

    def _stage_answer(self, held: Held, row: Row) -> None:
        history, begin = row.history, len(row.prefix.tokens)
        for at, width in prefill_chunks(len(history) - begin, self._widths, self.cache - begin):
            self._chunk(held, graph_name("prefill", 1, width=width), history, begin + at, width)
        block = next(
            (g for g in self._bundle.manifest.graphs if self._is_block(g, row.width)), None
        )
        if block is None or row.width is None:
            return
        for at in blocks(begin, len(history), row.width, self.cache):
            self._chunk(held, block.name, history, at, row.width)

    def _is_block(self, graph: GraphRecord, width: int | None) -> bool:
        return (graph.role, graph.batch, graph.width) == ("primary_block", self.batch, width)

    def _chunk(self, held: Held, name: str, tokens: Sequence[int], at: int, width: int) -> None:
        """Runs `width` tokens from place `at` on the staging slot; other rows are padding."""
        chunk = tokens[at : at + width]
        batch = self._model.signatures[name].inputs["slots"].shape[0]
        block = np.zeros((batch, width), np.int32)
        block[0, : len(chunk)] = chunk
        start = np.zeros(batch, np.int32)
        start[0] = at
        slots = [held.staging] + [self._scratch] * (batch - 1)
        self._session(held, name, slots, {"tokens": block, "start": start})

    def _put(self, held: Held, target: int, registers: Registers) -> None:
        """Copies the staging slot to `target` and sets its registers."""
        values = {name: _ints([getattr(registers, name)]) for name in REGISTERS}
        self._session(held, "insert", [held.staging], values | {"target": _ints([target])})


def _ints(values: Sequence[int]) -> np.ndarray:
    return np.array(values, np.int32)
