"""What each signature does, as functions of (parameters, state, inputs), and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from tandem_export.graphs import Graph
from tandem_export.graphs.spec import Arrays, Shapes
from tandem_export.targets.savedmodel import rules
from tandem_export.targets.savedmodel.pool import Pool, run_on_slots, take_rows

Rules = Callable[[Arrays, Arrays], list[rules.Rule]]
Run = Callable[[Arrays, Arrays, Arrays], tuple[Arrays, Arrays]]
STATELESS = ("generate", "router")


@dataclass(frozen=True, kw_only=True)
class Method:
    """One signature.

    Attributes:
      name: of the signature.
      params: bundle names of the weights it reads.
      state: names of the pool's arrays that it reads or writes; empty for a stateless one.
      inputs: shapes and dtypes, all but those of the state.
      rules: `(state, inputs)` -> what they must hold.
      run: `(params, state, inputs)` -> `(outputs, new state)`. On a refused call the inputs are
        zeros, `slots` and `target` the scratch slot.
      scratch: that slot.
    """

    name: str
    params: tuple[str, ...]
    state: tuple[str, ...]
    inputs: Shapes
    rules: Rules
    run: Run
    scratch: int

    def texts(self, state: Shapes) -> list[str]:
        """The texts of the rules, in their order; `state` are the pool's shapes."""
        found: list[str] = []

        def collect(own: Arrays, inputs: Arrays) -> None:
            found.extend(rule.text for rule in self.rules(own, inputs))

        jax.eval_shape(collect, {name: state[name] for name in self.state}, self.inputs)
        return found

    def apply(self, params: Arrays, given: dict[str, Arrays]) -> dict[str, Arrays]:
        """`{"state", "inputs"}` -> `{"outputs", "state", "problem"}`, each a flat dict."""
        state, inputs = given["state"], given["inputs"]
        held = self.rules(state, inputs)
        problem = rules.first_problem(held) if held else None
        refused = jnp.bool_(False) if problem is None else problem.code > 0
        safe = {name: self._unless(refused, name, value) for name, value in inputs.items()}
        outputs, new = self.run({name: params[name] for name in self.params}, state, safe)
        if "epoch" in state:
            outputs = outputs | {"epoch": state["epoch"]}
        return {
            "outputs": outputs,
            "state": new,
            "problem": {} if problem is None else problem._asdict(),
        }

    def _unless(self, refused: jax.Array, name: str, value: jax.Array) -> jax.Array:
        instead = self.scratch if name in ("slots", "target") else 0
        return jnp.where(refused, jnp.full_like(value, instead), value)


def plan_methods(graphs: Sequence[Graph], pool: Pool) -> list[Method]:
    """A method for every graph, and those that hand out slots if there are session graphs."""
    made = [_of_graph(graph, pool) for graph in _once(graphs)]
    sessions = any(method.state for method in made)
    return [*made, _claim(pool), _release(pool)] if sessions else made


def signature_name(graph: Graph) -> str:
    """The graph's own name; `insert` works on the pool, so one serves every batch."""
    return "insert" if graph.role == "insert" else graph.name


def _once(graphs: Sequence[Graph]) -> list[Graph]:
    return list({signature_name(graph): graph for graph in graphs}.values())


def _of_graph(graph: Graph, pool: Pool) -> Method:
    if graph.role in STATELESS:
        return _stateless(graph, pool)
    if graph.role == "insert":
        return _insert(graph, pool)
    addressed = {"slots": _ints(graph.batch), "owner": _ints(1)}
    needed = {*graph.state, "owner", "epoch"}
    return Method(
        name=graph.name,
        params=tuple(graph.params),
        state=tuple(sorted(needed)),
        inputs=graph.inputs | addressed,
        rules=partial(_step_rules, graph, pool),
        run=partial(run_on_slots, graph, pool),
        scratch=pool.scratch,
    )


def _ints(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def _step_rules(graph: Graph, pool: Pool, state: Arrays, inputs: Arrays) -> list[rules.Rule]:
    own = (
        rules.round_rules(graph, pool, state, inputs)
        if graph.role in ("round", "round_router")
        else rules.block_rules(graph, pool, inputs)
    )
    return [*rules.slot_rules(pool, state, inputs["slots"], inputs["owner"]), *own]


def _stateless(graph: Graph, pool: Pool) -> Method:
    def own_rules(state: Arrays, inputs: Arrays) -> list[rules.Rule]:
        del state
        if graph.role == "router":
            return []  # any logits are good
        return rules.generate_rules(graph, pool.vocab_size, _max_new(graph), inputs)

    return Method(
        name=graph.name,
        params=tuple(graph.params),
        state=(),
        inputs=graph.inputs,
        rules=own_rules,
        run=graph.function,
        scratch=pool.scratch,
    )


def _max_new(graph: Graph) -> int:
    """The longest answer of a `generate` graph: the width of its output."""
    outputs, _ = jax.eval_shape(graph.function, graph.params, graph.state, graph.inputs)
    return outputs["tokens"].shape[1]


def _insert(graph: Graph, pool: Pool) -> Method:
    registers = ("position", "last", "previous", "budget")

    def own_rules(state: Arrays, inputs: Arrays) -> list[rules.Rule]:
        held = rules.slot_rules(pool, state, inputs["slots"], inputs["owner"])
        return [*held, *rules.insert_rules(pool, state, inputs)]

    def run(params: Arrays, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        whole = {name: state[name] for name in graph.state}
        caches = {n: take_rows(v, inputs["slots"]) for n, v in whole.items() if n not in registers}
        row = caches | {name: inputs[name] for name in registers}
        prefix = {f"prefix.{name}": value for name, value in row.items()}
        return graph.function(params, whole, prefix | {"slot": inputs["target"][0]})

    names = ("slots", "target", "owner", *registers)
    return Method(
        name=signature_name(graph),
        params=(),
        state=tuple(sorted({*graph.state, "owner", "epoch"})),
        inputs=dict.fromkeys(names, _ints(1)),
        rules=own_rules,
        run=run,
        scratch=pool.scratch,
    )


def _claim(pool: Pool) -> Method:
    """The first free slot becomes the caller's."""

    def free(state: Arrays) -> jax.Array:
        return state["owner"][: pool.slots] == 0

    def own_rules(state: Arrays, inputs: Arrays) -> list[rules.Rule]:
        return rules.claim_rules(free(state), inputs["owner"])

    def run(params: Arrays, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        del params
        owner, first = inputs["owner"], jnp.argmax(free(state)).astype(jnp.int32)
        # A refused call comes with owner 0, which the scratch slot has anyway.
        slot = jnp.where(owner[0] > 0, first, pool.scratch)
        put = partial(jax.lax.dynamic_update_slice_in_dim, start_index=slot, axis=0)
        new = {
            "owner": put(state["owner"], owner),
            "budget": put(state["budget"], jnp.zeros_like(owner)),
        }
        return {"slots": slot[None]}, new

    return Method(
        name="claim",
        params=(),
        state=("budget", "epoch", "owner"),
        inputs={"owner": _ints(1)},
        rules=own_rules,
        run=run,
        scratch=pool.scratch,
    )


def _release(pool: Pool) -> Method:
    """Every slot of the caller becomes free; the answer says who holds the others."""

    def own_rules(state: Arrays, inputs: Arrays) -> list[rules.Rule]:
        del state
        return [rules.within("owner", inputs["owner"], 1, 2**31 - 1)]

    def run(params: Arrays, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        del params
        owner = jnp.where(state["owner"] == inputs["owner"][0], 0, state["owner"])
        return {"owners": owner[: pool.slots]}, {"owner": owner}

    return Method(
        name="release",
        params=(),
        state=("epoch", "owner"),
        inputs={"owner": _ints(1)},
        rules=own_rules,
        run=run,
        scratch=pool.scratch,
    )
