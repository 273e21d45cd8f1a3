"""SPEED commits the primary's own text: P0 bit for bit, P1 up to near-ties."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recipes.stdlib_mini.losses import primary_pass
from tandem_export.contract import AcceptanceRule, Stream
from tandem_export.graphs import Arrays
from tandem_export.graphs.numerics.sampling import choose, processed_log_probs
from tandem_export.graphs.numerics.threefry import gumbel
from tandem_export.graphs.state import Sampling
from tests.graphs.harness import CACHE, HOSTILE, Pair, Text, pair, params, prompts, sampling

LEVIATHAN, GUMBEL = AcceptanceRule.LEVIATHAN, AcceptanceRule.GUMBEL

LENGTH = 24  # tokens of an answer
BUDGETS = [LENGTH, LENGTH - 5, LENGTH, 3]
PROMPTS = prompts([1, 2, 5, 8])
NEAR = 0.15
# kind, batch, gamma, dtype
PAIRS = [
    *(("tandem", 4, gamma, "float32") for gamma in (1, 3, 5, 8)),
    ("independent", 4, 3, "float32"),
    ("independent", 1, 5, "bfloat16"),
    ("tandem", 1, 3, "bfloat16"),
]
MODES = {
    "greedy": {},
    "gumbel": {
        "temperature": [0.7, 1.0, 1.0, 1.5],
        "rule": GUMBEL,
        "top_p": [1, 0.9, 1, 0.95],
    },
}


def inputs(mode: str, batch: int, **more) -> dict:
    values = {name: x[-batch:] if isinstance(x, list) else x for name, x in MODES[mode].items()}
    return sampling(batch, **({"tau": 0.0} | values | more))


def batches(size: int) -> list[tuple[list[list[int]], list[int]]]:
    """All prompts and budgets in batches of `size`."""
    return [(PROMPTS[i : i + size], BUDGETS[i : i + size]) for i in range(0, len(PROMPTS), size)]


@jax.jit
def primarys_choice(logits: jax.Array, index: jax.Array, values: dict) -> jax.Array:
    """The token at `index [B]` from the primary's logits `[B, V]`, with the noise of its place."""
    log_p = processed_log_probs(logits, Sampling.read(values))
    drawn = choose(log_p, gumbel(values["seed"], index, Stream.TOKEN, logits.shape[-1]))
    return jnp.where(values["temperature"] > 0, drawn, jnp.argmax(logits, -1))


@cache
def primary_alone(kind: str, batch: int, gamma: int, dtype: str, mode: str) -> list[list[int]]:
    """The primary stepped through `primary_block` at the round's width, garbage as drafts."""
    made, values = pair(kind, batch, gamma, dtype), inputs(mode, batch)
    weights = params(made.config, HOSTILE)
    texts = []
    for prompted, budgets in batches(batch):
        state = made.start(weights, prompted, budgets)
        last = np.array([prompt[-1] for prompt in prompted], np.int32)
        whole = step_primary(made, weights, state, last, values)
        texts += [whole[:budget, b].tolist() for b, budget in enumerate(budgets)]
    return texts


def step_primary(made: Pair, weights: Arrays, state: Arrays, last: np.ndarray, values: dict):
    """LENGTH tokens of every row, `[LENGTH, B]`."""
    (batch,), (gamma,) = made.options.batch, made.options.gamma
    at, out, rng = state["position"], [], np.random.default_rng(1)
    for _ in range(LENGTH):
        drafts = rng.integers(0, 17, (batch, gamma))
        block = {"tokens": np.concatenate([last[:, None], drafts], 1, dtype=np.int32), "start": at}
        name = f"primary_block_b{batch}_t{gamma + 1}"
        outputs, state = made.call(name, weights, state, block)
        at = at + 1
        last = np.asarray(primarys_choice(outputs["logits"][:, 0], at, values), np.int32)
        out.append(last)
    return np.stack(out)


def speed(made: Pair, noise: float | None, mode: str, **more) -> list[Text]:
    """One text a batch."""
    (batch,), (gamma,) = made.options.batch, made.options.gamma
    weights, values = params(made.config, noise), inputs(mode, batch, **more)
    name = f"round_router_b{batch}_g{gamma}"
    return [
        made.run(name, weights, made.start(weights, *given), values) for given in batches(batch)
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", PAIRS, ids=lambda case: "-".join(map(str, case)))
def test_p0_tokens_and_logprobs_are_the_primarys_own(case: tuple, mode: str) -> None:
    made, want = pair(*case), primary_alone(*case, mode)
    alone = speed(made, HOSTILE, mode, max_draft=0)
    assert [row for text in alone for row in text.tokens] == want
    assert len({token for row in want for token in row}) >= 5, "a degenerate text proves nothing"
    for noise, tau in ((HOSTILE, 0.0), (NEAR, 0.0), (HOSTILE, 0.5), (NEAR, 0.3), (NEAR, 0.7)):
        texts = speed(made, noise, mode, tau=tau)
        assert [text.tokens for text in texts] == [text.tokens for text in alone]
        assert [text.logprob for text in texts] == [text.logprob for text in alone]  # bit for bit
        accepted = sum(text.accepted for text in texts)
        assert accepted < sum(text.total("drafted") for text in texts), "nothing was rejected"
        assert noise is HOSTILE or accepted > 0, "nothing was accepted"


def test_router_shortens_drafts_at_some_taus() -> None:
    made = pair("tandem", 4, 5, "float32")
    stopped = [speed(made, NEAR, "greedy", tau=tau)[0].total("stopped") for tau in (0.0, 1.0)]
    assert stopped[0] == 0 < stopped[1]


TWIN_MODES = {
    "greedy": {},
    "leviathan": {"temperature": 1.0, "rule": LEVIATHAN},
    "gumbel": {"temperature": 1.0, "rule": GUMBEL},
}


@pytest.mark.parametrize("mode", TWIN_MODES)
@pytest.mark.parametrize("kind", ["tandem", "independent"])
def test_a_twin_drafter_has_every_draft_accepted_in_every_round(kind: str, mode: str) -> None:
    made = pair(kind, 4, 3, "float32")
    weights = params(made.config, 0.0)
    values = sampling(4, tau=0.0, **TWIN_MODES[mode])
    state = made.start(weights, PROMPTS, [32] * 4)  # prompts of 1 and 2 tokens too
    text = made.run("round_router_b4_g3", weights, state, values)
    assert [out["count"].tolist() for out in text.rounds] == [[4] * 4] * 8


@pytest.mark.parametrize(
    "form",
    [
        {"lossless": "numeric"},
        {"attention": "two_part"},
        {"attention": "kernel", "platforms": ("cpu",)},
    ],
    ids=["numeric", "two_part", "kernel"],
)
def test_p1_tokens_are_the_largest_of_the_primary_up_to_near_ties(form: dict[str, Any]) -> None:
    made = pair("tandem", 4, 3, "float32", roles=("prefill", "insert", "round_router"), **form)
    (text,) = speed(made, NEAR, "greedy", tau=0.3)
    assert len({out["drafted"].max() for out in text.rounds}) > 1, "every round had one width"
    rows = [[*prompt, *tokens] for prompt, tokens in zip(PROMPTS, text.tokens, strict=True)]
    logits = whole_sequences(made, [row + [0] * (CACHE - len(row)) for row in rows])
    for row, prompt, own in zip(rows, PROMPTS, logits, strict=True):
        for at in range(len(prompt), len(row)):
            assert own[at - 1].max() - own[at - 1, row[at]] < 1e-3


def whole_sequences(made: Pair, tokens: list[list[int]]) -> np.ndarray:
    """The primary's logits `[B, S, V]` without any cache."""
    own = {k[8:]: x for k, x in params(made.config, NEAR).items() if k.startswith("primary.")}
    run = jax.jit(lambda weights, tokens: primary_pass(made.config, weights, tokens)[0])
    return np.asarray(run(own, jnp.asarray(tokens))).reshape(len(tokens), CACHE, -1)
