"""A signature as functions of (parameters, state, inputs), and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from tandem_export.graphs import Arrays, Shapes
from tandem_export.targets.savedmodel.session import preconditions as rules

Preconditions = Callable[[Arrays, Arrays], list[rules.Precondition]]
Run = Callable[[Arrays, Arrays, Arrays], tuple[Arrays, Arrays]]


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
    rules: Preconditions
    run: Run
    scratch: int

    def texts(self, state: Shapes) -> list[str]:
        """Returns the texts of the rules, in their order; `state` are the pool's shapes."""
        texts_of_rules: list[str] = []

        def collect(state: Arrays, inputs: Arrays) -> None:
            texts_of_rules.extend(rule.text for rule in self.rules(state, inputs))

        jax.eval_shape(collect, {name: state[name] for name in self.state}, self.inputs)
        return texts_of_rules

    def apply(self, params: Arrays, given: dict[str, Arrays]) -> dict[str, Arrays]:
        """Computes `{"outputs", "state", "problem"}` from `{"state", "inputs"}`, all flat dicts."""
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


def ints(*shape: int) -> jax.ShapeDtypeStruct:
    """Returns an int32 input."""
    return jax.ShapeDtypeStruct(shape, jnp.int32)
