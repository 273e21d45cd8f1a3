"""A drafter that knows some of the primary's tokens: the text is still the primary's own."""

from __future__ import annotations

import dataclasses
from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.config import TandemConfig
from tandem_export.contract import AcceptanceRule
from tandem_export.graphs import Arrays, BuildOptions
from tests.graphs.harness import CACHE, Pair, Text, params, prompts, sampling
from tests.tiny import LLAMA, ROUTER

LEVIATHAN, GUMBEL, _, STANDALONE = AcceptanceRule

B, G = 4, 3
KNOWN = np.array([0, 2, 3, 7, 8, 11, 13, 14, 16])
PROMPTS = prompts([1, 2, 5, 8], seed=2)
ROUND = f"round_router_b{B}_g{G}"
REDUCED = dataclasses.replace(LLAMA, vocab_size=len(KNOWN))
CONFIGS = {
    "tandem": TandemConfig(primary=LLAMA, drafter=REDUCED, layer_map=(0, 1), router=ROUTER),
    "independent": TandemConfig(primary=LLAMA, drafter=REDUCED, kind="independent", router=ROUTER),
}
MODES = {
    "greedy": {},
    "gumbel": {
        "temperature": [0.7, 1.0, 1.0, 1.5],
        "rule": GUMBEL,
        "top_p": [1, 0.9, 1, 0.95],
    },
}


@cache
def pair(kind: str) -> Pair:
    roles = ("prefill", "insert", "router", "drafter_step", "round_router")
    options = BuildOptions(
        roles=roles, prompt=(8,), cache=CACHE, batch=(B,), gamma=(G,), max_new=12
    )
    return Pair(CONFIGS[kind], options)


@cache
def weights(kind: str, noise: float) -> Arrays:
    """A twin of the primary plus noise, with the rows and columns of the known tokens."""
    whole = params(dataclasses.replace(CONFIGS[kind], drafter=LLAMA), noise)
    rows = np.full(LLAMA.vocab_size, ~0, np.int32)
    rows[KNOWN] = np.arange(len(KNOWN))
    return whole | {
        "drafter.embedding.weight": whole["drafter.embedding.weight"][KNOWN],
        "drafter.head.weight": whole["drafter.head.weight"][:, KNOWN],
        "drafter.vocabulary.rows": jnp.asarray(rows),
    }


def run(kind: str, noise: float, **values: object) -> Text:
    given, made = weights(kind, noise), pair(kind)
    state = made.start(given, PROMPTS, [24] * B)
    return made.run(ROUND, given, state, sampling(B, **values))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", CONFIGS)
def test_p0_text_is_the_primarys_own(kind: str, mode: str) -> None:
    alone = run(kind, 0.15, tau=0.0, max_draft=0, **MODES[mode])
    unknown = {token for row in alone.tokens for token in row} - set(KNOWN.tolist())
    assert unknown, "a text of known tokens proves nothing"
    for tau in (0.0, 0.5):
        text = run(kind, 0.15, tau=tau, **MODES[mode])
        assert text.tokens == alone.tokens and text.logprob == alone.logprob  # bit for bit
        assert 0 < text.accepted < text.total("drafted")


@pytest.mark.parametrize("kind", CONFIGS)
def test_only_known_tokens_are_drafted(kind: str) -> None:
    """Under `standalone` the text is the drafts; at a high temperature any token may come."""
    text = run(kind, 0.15, tau=0.0, temperature=8.0, rule=STANDALONE)
    drafted = {token for row in text.tokens for token in row}
    assert drafted <= set(KNOWN.tolist()) and len(drafted) >= 5


def test_router_of_the_round_is_the_router_alone() -> None:
    """A draft goes on while the single steps predict at least tau."""
    made, given = pair("tandem"), weights("tandem", 0.15)
    state = made.start(given, PROMPTS, [24] * B)
    inputs = {"tokens": np.asarray(state["last"])[:, None], "start": state["position"]}
    logits, _ = made.call(f"drafter_step_b{B}_t1", given, state, inputs)
    assert logits["logits"].shape == (B, LLAMA.vocab_size)
    predicted, _ = made.call(f"router_b{B}", given, state, {"logits": logits["logits"]})
    acceptance = np.sort(np.asarray(predicted["acceptance"]))
    tau = float(acceptance[1:3].mean())
    out, _ = made.call(ROUND, given, state, sampling(B, tau=tau))
    low = np.asarray(predicted["acceptance"]) < tau
    assert (out["drafted"][low] == 1).all() and low.sum() == 2
    assert (out["drafted"][~low] >= 2).all()


def test_leviathan_accepts_what_both_share() -> None:
    text = run("tandem", 0.0, tau=0.0, temperature=1.0, rule=LEVIATHAN)
    assert 0 < text.accepted < text.total("drafted")
