"""Fused rounds against the same rounds put together on the host from single steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_export.contract import AcceptanceRule
from tandem_export.graphs import Arrays
from tandem_export.runtime import Counters, PrefilledRow, Registers, RoundKind, RowInputs
from tandem_export.runtime.rounds.from_steps import StepRounds
from tests.graphs.harness import HOSTILE, Pair, pair, params, prompts, sampling

LEVIATHAN, GUMBEL, STANDALONE_FREE, STANDALONE = AcceptanceRule

B = 4
NAMES = ("position", "last", "previous", "budget")


class StepExecutor:
    """The single-step graphs of a pair behind the runtime's interface; no registers of its own."""

    def __init__(self, made: Pair, weights: Arrays, state: Arrays) -> None:
        self.batch, self.cache, self.counters = B, made.options.cache, Counters()
        self._made, self._weights, self._state = made, weights, state

    def insert(self, prefix, slot: int, registers: Registers) -> None:
        """The rows stand in the state already."""

    def _block(self, name: str, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        inputs = {"tokens": tokens.astype(np.int32), "start": start.astype(np.int32)}
        name = f"{name}_b{B}_t{tokens.shape[1]}"
        outputs, self._state = self._made.call(name, self._weights, self._state, inputs)
        return np.asarray(outputs["logits"])

    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        return self._block("primary_block", tokens, start)

    def drafter_step(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        return self._block("drafter_step", tokens, start)

    def router(self, logits: np.ndarray) -> np.ndarray:
        outputs, _ = self._made.call(f"router_b{B}", self._weights, {}, {"logits": logits})
        return np.asarray(outputs["acceptance"])


def random_request(rng: np.random.Generator) -> tuple[list[list[int]], list[int], dict]:
    """Prompts, budgets (0 is an idle row) and sampling inputs of B rows."""
    rule = rng.choice(
        [
            LEVIATHAN,
            GUMBEL,
            STANDALONE_FREE,
            STANDALONE,
        ],
        B,
    )
    values = sampling(
        B,
        temperature=rng.uniform(0.3, 1.5, B) * (rng.random(B) < 0.6),
        top_k=rng.integers(0, 9, B),
        top_p=np.where(rng.random(B) < 0.5, 1, rng.uniform(0.3, 0.99, B)),
        rule=rule,
        # AcceptanceRule 3 commits drafts alone: without one it would stand still.
        max_draft=rng.integers(rule == STANDALONE, 6),
        tau=rng.uniform(0.2, 0.9, B) * (rng.random(B) < 0.7),
        seed=rng.integers(0, 2**32, (B, 2)),
    )
    texts = prompts(rng.integers(1, 9, B).tolist(), seed=int(rng.integers(1000)))
    return texts, rng.integers(0, 9, B).tolist(), values


def step_rounds(made: Pair, weights: Arrays, state: Arrays) -> StepRounds:
    executor = StepExecutor(made, weights, state)
    rounds = StepRounds(executor, independent=not made.config.is_tandem)  # type: ignore[arg-type]
    for slot in range(B):
        at = {name: int(state[name][slot]) for name in NAMES}
        rounds.insert(PrefilledRow(), slot, Registers(**at))
    return rounds


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), noise=st.sampled_from([HOSTILE, 0.2, 0.0]))
@pytest.mark.parametrize("kind", ["tandem", "independent"])
def test_fused_rounds_are_the_steps_put_together(kind: str, seed: int, noise: float | None) -> None:
    made = pair(kind, B, 3, "float32")
    weights = params(made.config, noise)
    texts, budgets, values = random_request(np.random.default_rng(seed))
    state = made.start(weights, texts, budgets)
    plain, rows = step_rounds(made, weights, state), RowInputs(**values)
    while int(state["budget"].max()) > 0:
        before = {name: np.asarray(state[name]) for name in NAMES}
        got, state = made.call(f"round_router_b{B}_g3", weights, state, values)
        want = plain.round(RoundKind(role="round_router", gamma=3), rows)
        for name in ("tokens", "count", "drafted", "stopped"):
            np.testing.assert_array_equal(got[name], getattr(want, name), err_msg=name)
        np.testing.assert_allclose(got["logprob"], want.logprob, rtol=1e-4, atol=1e-4)
        # An independent drafter's catch-up step also gives its first logits, wanted or not.
        least = 0 if made.config.is_tandem else 1
        assert int(got["drafter_steps"]) == max(least, want.drafter_steps) <= 3
        assert_advanced(before, {name: np.asarray(state[name]) for name in NAMES}, got)


def assert_advanced(before: dict, after: dict, out: Arrays) -> None:
    """The registers after a round, and nothing at all for idle rows."""
    for b in range(B):
        n = int(out["count"][b])
        committed = [int(before["previous"][b]), int(before["last"][b])]
        committed += np.asarray(out["tokens"])[b, :n].tolist()
        assert [int(after["previous"][b]), int(after["last"][b])] == committed[-2:]
        assert int(after["position"][b] - before["position"][b]) == n
        assert int(before["budget"][b] - after["budget"][b]) == n <= before["budget"][b]
        assert (n > 0) == (before["budget"][b] > 0)
        assert int(out["drafted"][b]) <= before["budget"][b]


def test_the_draft_ends_when_no_row_wants_more() -> None:
    made = pair("tandem", B, 3, "float32")
    weights = params(made.config, HOSTILE)
    state = made.start(weights, prompts([3] * B), [9, 9, 2, 0])
    cases = {(0, 0, 0, 3): 0, (0, 1, 0, 3): 1, (0, 1, 3, 3): 1, (2, 1, 9, 0): 2, (9, 0, 0, 0): 3}
    for max_draft, steps in cases.items():
        values = sampling(B, tau=0.0, max_draft=max_draft)
        out, _ = made.call(f"round_router_b{B}_g3", weights, state, values)
        assert int(out["drafter_steps"]) == steps
        # Row 2 may commit two tokens, one of them the primary's; row 3 is idle.
        limits = np.minimum(max_draft, [3, 3, 1, 0])
        np.testing.assert_array_equal(out["drafted"], limits)


def test_tau_above_every_prediction_stops_after_one_draft() -> None:
    made = pair("tandem", B, 3, "float32")
    weights = params(made.config, HOSTILE)
    state = made.start(weights, prompts([3] * B), [9] * B)
    values = sampling(B, tau=[1.0, 0.0, 1.0, 1.0], max_draft=[9, 9, 1, 0])
    out, _ = made.call(f"round_router_b{B}_g3", weights, state, values)
    assert out["drafted"].tolist() == [1, 3, 1, 0]
    assert out["stopped"].tolist() == [1, 0, 0, 0]  # only where more was wanted
