from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_export.contract import AcceptanceRule
from tandem_export.graphs.round.accept import Commit, accept
from tandem_export.graphs.round.verify import DraftedBlock, verify_block
from tandem_export.graphs.state import Sampling
from tandem_export.runtime import draw, judge, log_softmax, processed_log_probs
from tests.graphs.harness import sampling

LEVIATHAN, GUMBEL, STANDALONE_FREE, STANDALONE = AcceptanceRule

B, SIZE = 6, 5
OPTIONS = ("temperature", "top_k", "top_p", "min_p")
RULES = list(AcceptanceRule)


@jax.jit
def accepted(logits, drafts, drafted, log_q, position, inputs, *, idle) -> Commit:
    """`verify_block` and `accept`."""
    index = position[:, None] + 1 + jnp.arange(logits.shape[1], dtype=jnp.int32)[None]
    by_offset = log_q.transpose(1, 0, 2) if drafts.shape[1] else jnp.zeros_like(logits[None, :, 0])
    block = DraftedBlock(drafts, drafted, by_offset, index)
    verified = verify_block(lambda: logits, block, Sampling.read(inputs))
    return accept(verified, inputs["rule"], idle=idle)


def one_hot_logits(*choices: int) -> np.ndarray:
    """`[1, W, V]` logits whose argmax is `choices`."""
    return (np.eye(SIZE, dtype=np.float32)[list(choices)] * 4)[None]


@pytest.mark.parametrize(
    ("rule", "drafts", "drafted", "want"),
    [
        (LEVIATHAN, [4, 3, 2], 3, [4, 3, 1]),
        (GUMBEL, [4, 3, 2], 3, [4, 3, 1]),
        (LEVIATHAN, [4, 3, 1], 3, [4, 3, 1, 0]),
        (LEVIATHAN, [4, 3, 1], 2, [4, 3, 1]),
        (LEVIATHAN, [4, 3, 1], 0, [4]),
        (LEVIATHAN, [0, 3, 1], 3, [4]),
        (STANDALONE_FREE, [2, 2, 2], 2, [2, 2, 1]),
        (STANDALONE, [2, 2, 2], 2, [2, 2]),
        (STANDALONE, [2, 2, 2], 0, [4]),
    ],
)
def test_greedy_by_hand(rule: int, drafts: list[int], drafted: int, want: list[int]) -> None:
    logits, log_q = one_hot_logits(4, 3, 1, 0), np.zeros((1, 3, SIZE), np.float32)
    row = (np.array([drafts], np.int32), np.array([drafted], np.int32))
    inputs, at = sampling(1, rule=rule), np.array([9], np.int32)
    done = accepted(logits, *row, log_q, at, inputs, idle=np.array([False]))
    assert done.tokens[0].tolist() == [*want, *[-1] * (4 - len(want))]
    assert done.committed.tolist() == [len(want)]
    logprob = [log_softmax(logits[0, i])[token] for i, token in enumerate(want)]
    np.testing.assert_allclose(done.logprob[0, : len(want)], logprob, atol=1e-6)
    assert done.logprob[0, len(want) :].tolist() == [0.0] * (4 - len(want))


def random_round(rng: np.random.Generator, G: int) -> tuple[dict, dict]:
    """Logits, drafts and options of B rows; each drafter knows more or less of its primary."""
    hot = rng.random(B) < 0.8
    options = sampling(
        B,
        temperature=rng.uniform(0.3, 2, B) * hot,
        top_k=rng.integers(0, SIZE + 1, B),
        top_p=np.where(rng.random(B) < 0.5, 1, rng.uniform(0.3, 0.99, B)),
        min_p=rng.uniform(0, 0.3, B) * (rng.random(B) < 0.3),
        rule=rng.choice(RULES, B),
        seed=rng.integers(0, 2**32, (B, 2)),
    )
    logits = rng.normal(0, 2, (B, G + 1, SIZE)).astype(np.float32)
    other = rng.normal(0, 2, (B, G + 1, SIZE)).astype(np.float32)
    near = rng.choice([0.0, 0.3, 1.0], B).astype(np.float32)[:, None, None]
    given = {
        "logits": logits,
        "log_q": ((1 - near) * logits + near * other)[:, :G],  # still logits
        "drafted": rng.integers(0, G + 1, B).astype(np.int32),
        "position": rng.integers(0, 50, B).astype(np.int32),
        "idle": rng.random(B) < 0.2,
        "drafts": np.zeros((B, G), np.int32),
    }
    return given, options


def row_options(options: dict, b: int) -> dict:
    return {name: options[name][b].item() for name in OPTIONS}


def draw_drafts(given: dict, options: dict) -> None:
    """Fills in drafts, each from its own distribution, and those distributions."""
    B, G, _ = given["log_q"].shape
    for b, i in np.ndindex(B, G):
        log_q = processed_log_probs(given["log_q"][b, i], **row_options(options, b))
        at = int(given["position"][b]) + 1 + i
        given["log_q"][b, i] = log_q
        given["drafts"][b, i] = draw(log_q, options["seed"][b], at)


def plain(given: dict, options: dict, b: int) -> list[int]:
    """One row by the reference."""
    n = 0 if given["idle"][b] else int(given["drafted"][b])
    log_p = [processed_log_probs(x, **row_options(options, b)) for x in given["logits"][b, : n + 1]]
    drafts, log_q = given["drafts"][b, :n].tolist(), list(given["log_q"][b, :n])
    rule, at = AcceptanceRule(int(options["rule"][b])), int(given["position"][b])
    if given["idle"][b]:
        return []
    return list(judge(rule, drafts, log_q, log_p, options["seed"][b], at).tokens)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("G", range(5), ids=lambda G: f"G={G}")
def test_rows_of_every_rule_are_accepted_as_by_the_reference(G: int, seed: int) -> None:
    given, options = random_round(np.random.default_rng(seed), G)
    draw_drafts(given, options)
    unused = np.arange(G)[None, :] >= given["drafted"][:, None]
    given["log_q"][unused] = np.nan  # what no draft was drawn from is memory that nobody wrote
    done = accepted(
        given["logits"],
        given["drafts"],
        given["drafted"],
        given["log_q"],
        given["position"],
        options,
        idle=given["idle"],
    )
    for b in range(B):
        want = plain(given, options, b)
        assert done.tokens[b].tolist() == [*want, *[-1] * (G + 1 - len(want))]
        assert int(done.committed[b]) == len(want)
        logprob = [log_softmax(given["logits"][b, i])[token] for i, token in enumerate(want)]
        np.testing.assert_allclose(done.logprob[b, : len(want)], logprob, atol=2e-5)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("rule", [LEVIATHAN, GUMBEL], ids=["leviathan", "gumbel"])
def test_a_drafter_equal_to_the_primary_is_always_accepted(rule: int, seed: int) -> None:
    given, options = random_round(np.random.default_rng(seed), 4)
    given["log_q"], given["idle"] = given["logits"][:, :4].copy(), np.zeros(B, bool)
    options |= {"rule": np.full(B, rule, np.int32)}
    draw_drafts(given, options)
    drafted, log_q = np.full(B, 4, np.int32), given["log_q"]
    at = (given["logits"], given["drafts"], drafted, log_q, given["position"])
    done = accepted(*at, options, idle=given["idle"])
    np.testing.assert_array_equal(done.tokens[:, :4], given["drafts"])
