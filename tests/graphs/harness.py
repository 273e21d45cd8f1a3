"""Compiled graphs of a tiny pair, and the plainest way to drive them.

Parameters are arguments of every graph, so one compiled pair serves drafters of any quality:
`params(config, noise)` makes a drafter that is the primary plus noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tandem_export.config import TandemConfig
from tandem_export.graphs import Arrays, BuildOptions, Graph, plan_graphs, state_shapes
from tandem_export.model import PARTS, has_part
from tests.tiny import LLAMA, ROUTER, random_params

V = LLAMA.vocab_size
CACHE = 48
HOSTILE = None  # a drafter that knows nothing of the primary
SHARPEN = 3.0

# One layer where depth is not the point: compiling takes the time.
SHALLOW = dataclasses.replace(LLAMA, num_layers=1)
# Drafter and primary have one shape, and each drafter layer reads the activation that feeds the
# primary's own layer: with equal weights and identity projections, the two are one model.
TWIN_TANDEM = TandemConfig(
    primary=LLAMA, drafter=LLAMA, layer_map=tuple(range(LLAMA.num_layers)), router=ROUTER
)
TWIN_INDEPENDENT = TandemConfig(primary=SHALLOW, drafter=SHALLOW, kind="independent", router=ROUTER)
TWINS = {"tandem": TWIN_TANDEM, "independent": TWIN_INDEPENDENT}
STEPS = ("prefill", "insert", "primary_block", "drafter_step", "router")


def params(config: TandemConfig, noise: float | None, seed: int = 0) -> Arrays:
    """Random parameters of a twin config; the drafter is the primary plus `noise`, or hostile."""
    drawn = {
        part: random_params(config, part, seed + i)
        for i, part in enumerate(PARTS)
        if has_part(config, part)
    }
    for part in ("primary", "drafter"):
        drawn[part]["head.weight"] = drawn[part]["head.weight"] * SHARPEN
    if noise is not None:
        drawn["drafter"] = _near(drawn["primary"], drawn["drafter"], noise)
    return {f"{part}.{name}": x for part, own in drawn.items() for name, x in own.items()}


def _near(primary: Arrays, drafter: Arrays, noise: float) -> Arrays:
    def near(name: str, other: jax.Array) -> jax.Array:
        own = primary[name] if name in primary else jnp.eye(other.shape[0], dtype=other.dtype)
        return own + noise * other

    return {name: near(name, other) for name, other in drafter.items()}


@dataclass
class Pair:
    """The graphs of one config under one set of options, each compiled once."""

    config: TandemConfig
    options: BuildOptions
    graphs: dict[str, Graph] = field(init=False)
    compiled: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.graphs = {graph.name: graph for graph in plan_graphs(self.config, self.options)}
        self.compiled = {name: jax.jit(graph.function) for name, graph in self.graphs.items()}

    def call(self, name: str, params: Arrays, state: Arrays, inputs: Arrays | dict[str, Any]):
        """(outputs, state): runs a graph with what it takes of `params` and `state`."""
        graph = self.graphs[name]
        own = {key: params[key].astype(leaf.dtype) for key, leaf in graph.params.items()}
        outputs, after = self.compiled[name](own, {key: state[key] for key in graph.state}, inputs)
        return outputs, state | after

    def empty(self, batch: int) -> Arrays:
        """State of `batch` idle rows; caches hold large garbage where nothing was written."""
        leaves = state_shapes(self.config, self.options, batch)
        return {
            name: jnp.full(leaf.shape, 1e30 if leaf.ndim == 4 else 0, leaf.dtype)
            for name, leaf in leaves.items()
        }

    def start(
        self, params: Arrays, prompts: Sequence[Sequence[int]], budgets: Sequence[int]
    ) -> Arrays:
        """State of rows that stand at the end of their prompts."""
        state = self.empty(len(prompts))
        for slot, (prompt, budget) in enumerate(zip(prompts, budgets, strict=True)):
            prefix = self.prefill(params, prompt) | registers(prompt, budget)
            inputs = {f"prefix.{name}": x for name, x in prefix.items()}
            name = f"insert_b{len(prompts)}"
            _, state = self.call(name, params, state, inputs | {"slot": jnp.int32(slot)})
        return state

    def prefill(self, params: Arrays, prompt: Sequence[int]) -> Arrays:
        """One row's state after all tokens of the prompt but the last."""
        width = self.options.prompt[0]
        tokens = np.zeros((1, width), np.int32)
        tokens[0, : len(prompt) - 1] = prompt[:-1]
        inputs = {"tokens": tokens, "start": np.zeros(1, np.int32)}
        return self.call(f"prefill_b1_t{width}", params, self.empty(1), inputs)[1]

    def run(self, name: str, params: Arrays, state: Arrays, inputs: dict[str, Any]) -> Text:
        """Rounds of graph `name` until every budget is used up."""
        text = Text(len(state["last"]))
        while int(state["budget"].max()) > 0:
            outputs, state = self.call(name, params, state, inputs)
            text.add({key: np.asarray(value) for key, value in outputs.items()})
        return dataclasses.replace(text, state=state)


@cache
def pair(kind: str, batch: int, gamma: int, dtype: Any, **options: Any) -> Pair:
    """A twin pair with one bucket of each kind, shared by every test of the process."""
    fixed: dict[str, Any] = {"roles": (*STEPS, "round_router"), "prompt": (8,), "cache": CACHE}
    buckets = {"batch": (batch,), "gamma": (gamma,), "dtype": dtype, "max_new": 12}
    return Pair(TWINS[kind], BuildOptions(**(fixed | buckets | options)))


@dataclass
class Text:
    """What rounds committed, per row, and their raw outputs, per round."""

    batch: int
    state: Arrays = field(default_factory=dict)
    rounds: list[dict[str, np.ndarray]] = field(default_factory=list)

    def add(self, outputs: dict[str, np.ndarray]) -> None:
        assert outputs["count"].sum() > 0, "a round that commits nothing"
        self.rounds.append(outputs)

    def _rows(self, name: str) -> list[list[Any]]:
        return [
            [x for out in self.rounds for x in out[name][b, : out["count"][b]].tolist()]
            for b in range(self.batch)
        ]

    @property
    def tokens(self) -> list[list[int]]:
        return self._rows("tokens")

    @property
    def logprob(self) -> list[list[float]]:
        return self._rows("logprob")

    def total(self, name: str) -> int:
        return int(sum(out[name].sum() for out in self.rounds))

    @property
    def accepted(self) -> int:
        """Accepted drafts under the rules that add a token of the primary's own."""
        return sum(int(np.maximum(out["count"] - 1, 0).sum()) for out in self.rounds)


def registers(prompt: Sequence[int], budget: int) -> Arrays:
    """A prefilled row's registers, `[1]` each."""
    values = {
        "position": len(prompt) - 1,
        "last": prompt[-1],
        "previous": prompt[max(len(prompt) - 2, 0)],
        "budget": budget,
    }
    return {name: jnp.array([value], jnp.int32) for name, value in values.items()}


def sampling(batch: int, **changed: Any) -> dict[str, Any]:
    """Sampling inputs of a round; a scalar holds for every row. `tau` only where given."""
    kinds = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "rule": 0, "max_draft": 99}
    values = {**kinds, **changed}
    seed = values.pop("seed", np.stack([np.arange(batch) + 7, np.arange(batch)], 1))
    integers = ("top_k", "rule", "max_draft")
    ready: dict[str, Any] = {
        name: np.broadcast_to(
            np.asarray(value, np.int32 if name in integers else np.float32), (batch,)
        )
        for name, value in values.items()
    }
    return ready | {"seed": np.asarray(seed, np.uint32)}


def prompts(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, V, length).tolist() for length in lengths]
