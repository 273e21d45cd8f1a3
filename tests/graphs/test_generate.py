"""The whole loop in one graph against rounds driven from outside."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tandem_export.contract import AcceptanceRule
from tandem_export.graphs import MAX_STOP_TOKENS, Arrays
from tests.graphs.harness import pair, params, prompts, sampling

LEVIATHAN, GUMBEL, STANDALONE_FREE, STANDALONE = AcceptanceRule

B, S, MAX_NEW = 4, 8, 12
PROMPTS = prompts([1, 2, 5, 8], seed=4)
CASES = {
    "greedy": {"tau": 0.0},
    "router": {"tau": [0.3, 0.6, 0.9, 0.0], "temperature": 1.0},
    "rules": {
        "tau": 0.0,
        "temperature": [0.8, 1.0, 0.0, 1.2],
        "rule": [
            LEVIATHAN,
            GUMBEL,
            STANDALONE_FREE,
            STANDALONE,
        ],
    },
    "drafts": {"tau": 0.0, "max_draft": [0, 1, 2, 99]},
}


@cache
def weights() -> Arrays:
    return params(pair("tandem", B, 3, "float32").config, 0.2)


def generate(
    values: dict, max_new_tokens: np.ndarray | int = MAX_NEW, stops: tuple = ()
) -> dict[str, np.ndarray]:
    """Runs the graph; `stops` are (row, token) pairs."""
    tokens = np.full((B, S), 9, np.int32)  # the filling is no part of a prompt
    for b, prompt in enumerate(PROMPTS):
        tokens[b, : len(prompt)] = prompt
    stop_tokens = np.full((B, MAX_STOP_TOKENS), -1, np.int32)
    for i, (row, token) in enumerate(stops):
        stop_tokens[row, MAX_STOP_TOKENS - 1 - i] = token
    inputs = values | {
        "tokens": tokens,
        "length": np.array([len(prompt) for prompt in PROMPTS], np.int32),
        "max_new_tokens": np.broadcast_to(np.asarray(max_new_tokens, np.int32), (B,)),
        "stop_tokens": stop_tokens,
    }
    made = pair("tandem", B, 3, "float32", roles=("generate",))
    outputs, _ = made.call(f"generate_b{B}_s{S}", weights(), {}, inputs)
    return {name: np.asarray(value) for name, value in outputs.items()}


@pytest.mark.parametrize("name", CASES)
def test_generate_is_its_rounds(name: str) -> None:
    values, made = sampling(B, **CASES[name]), pair("tandem", B, 3, "float32")
    state = made.start(weights(), PROMPTS, [MAX_NEW] * B)
    text = made.run(f"round_router_b{B}_g3", weights(), state, values)
    out = generate(values)
    assert out["tokens"].tolist() == text.tokens
    np.testing.assert_allclose(out["logprob"], text.logprob, rtol=1e-4, atol=1e-5)
    active = np.stack([one["count"] > 0 for one in text.rounds])
    steps = np.stack([one["drafter_steps"] for one in text.rounds])
    np.testing.assert_array_equal(out["rounds"], active.sum(0))
    np.testing.assert_array_equal(out["drafter_steps"], (steps[:, None] * active).sum(0))
    for key in ("drafted", "stopped"):
        np.testing.assert_array_equal(out[key], sum(one[key] for one in text.rounds))
    # Every round commits its accepted drafts and, but for rule 3, one token more.
    primarys_own = np.where(values["rule"] == STANDALONE, 0, out["rounds"])
    np.testing.assert_array_equal(out["accepted"] + primarys_own, out["count"])
    assert (out["accepted"] <= out["drafted"]).all()


def test_budgets_are_kept_to_the_token() -> None:
    values = sampling(B, tau=0.0)
    want = generate(values)["tokens"]
    for budgets, counts in (([0, 1, 5, 99], [0, 1, 5, 12]), ([3, -1, 0, 2], [3, 0, 0, 2])):
        out = generate(values, np.array(budgets))
        assert out["count"].tolist() == counts
        for b, count in enumerate(counts):
            assert out["tokens"][b].tolist() == [*want[b, :count], *[-1] * (MAX_NEW - count)]
            assert out["logprob"][b, count:].tolist() == [0.0] * (MAX_NEW - count)
            assert (out["rounds"][b] > 0) == (count > 0)


def test_a_stop_token_ends_its_row_and_is_its_last_token() -> None:
    values = sampling(B, tau=0.0)
    whole = generate(values)["tokens"].tolist()
    for place in range(MAX_NEW):
        stops = tuple((b, whole[b][place]) for b in range(B - 1))  # the last row has none
        out = generate(values, stops=stops)
        for b in range(B - 1):
            end = whole[b].index(whole[b][place]) + 1
            assert out["count"][b] == end
            assert out["tokens"][b].tolist() == [*whole[b][:end], *[-1] * (MAX_NEW - end)]
        assert out["tokens"][B - 1].tolist() == whole[B - 1]


def test_the_first_of_several_stop_tokens_counts() -> None:
    values = sampling(B, tau=0.0)
    row = generate(values)["tokens"][2].tolist()
    out = generate(values, stops=((2, row[6]), (2, row[3])))
    assert out["count"][2] == min(row.index(row[6]), row.index(row[3])) + 1
