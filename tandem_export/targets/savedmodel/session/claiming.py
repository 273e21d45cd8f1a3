"""The signatures that hand out slots of the pool, fill them and free them."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from tandem_export.contract import REGISTERS, Register, is_cache, prefix_name
from tandem_export.graphs import Arrays, Graph
from tandem_export.serving import CLAIM, RELEASE
from tandem_export.targets.savedmodel.session import preconditions as rules
from tandem_export.targets.savedmodel.session.method import Method, ints
from tandem_export.targets.savedmodel.session.pool import Pool, take_rows


def insert(graph: Graph, pool: Pool) -> Method:
    """Copies a prefilled slot to another, with the registers that the row starts with."""

    def own_rules(state: Arrays, inputs: Arrays) -> list[rules.Precondition]:
        held = rules.slot_rules(pool, state, inputs["slots"], inputs["owner"])
        return [*held, *rules.insert_rules(pool, state, inputs)]

    def run(params: Arrays, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        row_state = {name: state[name] for name in graph.state}
        caches = {n: take_rows(v, inputs["slots"]) for n, v in row_state.items() if is_cache(n)}
        row = caches | {name: inputs[name] for name in REGISTERS}
        prefix = {prefix_name(name): value for name, value in row.items()}
        return graph.function(params, row_state, prefix | {"slot": inputs["target"][0]})

    names = ("slots", "target", "owner", *REGISTERS)
    return Method(
        name="insert",
        params=(),
        state=tuple(sorted({*graph.state, "owner", "epoch"})),
        inputs=dict.fromkeys(names, ints(1)),
        rules=own_rules,
        run=run,
        scratch=pool.scratch,
    )


def claim(pool: Pool) -> Method:
    """Gives the caller the first free slot."""

    def free(state: Arrays) -> jax.Array:
        return state["owner"][: pool.slots] == 0

    def own_rules(state: Arrays, inputs: Arrays) -> list[rules.Precondition]:
        return rules.claim_rules(free(state), inputs["owner"])

    def run(params: Arrays, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        del params
        owner, first = inputs["owner"], jnp.argmax(free(state)).astype(jnp.int32)
        # A refused call comes with owner 0, which the scratch slot has anyway.
        slot = jnp.where(owner[0] > 0, first, pool.scratch)
        put = partial(jax.lax.dynamic_update_slice_in_dim, start_index=slot, axis=0)
        new = {
            "owner": put(state["owner"], owner),
            Register.BUDGET.value: put(state[Register.BUDGET], jnp.zeros_like(owner)),
        }
        return {"slots": slot[None]}, new

    return Method(
        name=CLAIM,
        params=(),
        state=(Register.BUDGET.value, "epoch", "owner"),
        inputs={"owner": ints(1)},
        rules=own_rules,
        run=run,
        scratch=pool.scratch,
    )


def release(pool: Pool) -> Method:
    """Frees every slot of the caller; the answer says who holds the others."""

    def own_rules(state: Arrays, inputs: Arrays) -> list[rules.Precondition]:
        del state
        return [rules.within("owner", inputs["owner"], 1, 2**31 - 1)]

    def run(params: Arrays, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        del params
        owner = jnp.where(state["owner"] == inputs["owner"][0], 0, state["owner"])
        return {"owners": owner[: pool.slots]}, {"owner": owner}

    return Method(
        name=RELEASE,
        params=(),
        state=("epoch", "owner"),
        inputs={"owner": ints(1)},
        rules=own_rules,
        run=run,
        scratch=pool.scratch,
    )
