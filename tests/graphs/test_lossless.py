"""SPEED commits the primary's own text: P0 bit for bit, P1 up to near-ties."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recipes.stdlib_mini.losses import primary_pass
from tandem_export.graphs.acceptance import GUMBEL, LEVIATHAN
from tandem_export.graphs.random import TOKEN, gumbel
from tandem_export.graphs.sampling import choose, processed_log_probs
from tests.graphs.harness import HOSTILE, Pair, Text, pair, params, prompts, sampling

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
    "gumbel": {"temperature": [0.7, 1.0, 1.3, 1.0], "rule": GUMBEL, "top_p": [1, 0.9, 1, 0.8]},
}


def inputs(mode: str, batch: int, **more) -> dict:
    values = {name: x[-batch:] if isinstance(x, list) else x for name, x in MODES[mode].items()}
    return sampling(batch, **({"tau": 0.0} | values | more))


def rows(batch: int) -> tuple[list[list[int]], list[int]]:
    """Prompts and budgets; one row alone has the two of a long prompt."""
    return (PROMPTS, BUDGETS) if batch == 4 else ([PROMPTS[2]], [LENGTH])


@jax.jit
def primarys_choice(logits: jax.Array, index: jax.Array, values: dict) -> jax.Array:
    """The token at `index [B]` from the primary's logits `[B, V]`, with the noise of its place."""
    log_p = processed_log_probs(logits[:, None], values)
    drawn = choose(log_p, gumbel(values["seed"], index[:, None], TOKEN, logits.shape[-1]))[:, 0]
    return jnp.where(values["temperature"] > 0, drawn, jnp.argmax(logits, -1))


@cache
def primary_alone(kind: str, batch: int, gamma: int, dtype: str, mode: str) -> list[list[int]]:
    """The primary stepped through `primary_block` at the round's width, garbage as drafts."""
    made, values = pair(kind, batch, gamma, dtype), inputs(mode, batch)
    texts, budgets = rows(batch)
    weights, rng = params(made.config, HOSTILE), np.random.default_rng(1)
    state = made.start(weights, texts, budgets)
    last, at, out = np.array([text[-1] for text in texts], np.int32), state["position"], []
    for _ in range(LENGTH):
        drafts = rng.integers(0, 17, (batch, gamma))
        block = {"tokens": np.concatenate([last[:, None], drafts], 1, dtype=np.int32), "start": at}
        name = f"primary_block_b{batch}_t{gamma + 1}"
        outputs, state = made.call(name, weights, state, block)
        at = at + 1
        last = np.asarray(primarys_choice(outputs["logits"][:, 0], at, values), np.int32)
        out.append(last)
    return [np.stack(out)[: budgets[b], b].tolist() for b in range(batch)]


def speed(made: Pair, noise: float | None, mode: str, **more) -> Text:
    batch, gamma = made.options.batch[0], made.options.gamma[0]
    weights = params(made.config, noise)
    state = made.start(weights, *rows(batch))
    return made.run(f"round_router_b{batch}_g{gamma}", weights, state, inputs(mode, batch, **more))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", PAIRS, ids=lambda case: "-".join(map(str, case)))
def test_p0_tokens_and_logprobs_are_the_primarys_own(case: tuple, mode: str) -> None:
    made, want = pair(*case), primary_alone(*case, mode)
    alone = speed(made, HOSTILE, mode, max_draft=0)
    assert alone.tokens == want
    assert len({token for row in want for token in row}) >= 6, "a degenerate text proves nothing"
    for noise, tau in ((HOSTILE, 0.0), (NEAR, 0.0), (HOSTILE, 0.5), (NEAR, 0.3), (NEAR, 0.7)):
        text = speed(made, noise, mode, tau=tau)
        assert text.tokens == want
        assert text.logprob == alone.logprob  # bit for bit
        assert text.accepted < text.total("drafted"), "nothing was rejected"
        assert noise is HOSTILE or text.accepted > 0, "nothing was accepted"


def test_router_shortens_drafts_at_some_taus() -> None:
    made = pair("tandem", 4, 5, "float32")
    drafted = [speed(made, NEAR, "greedy", tau=tau).total("stopped") for tau in (0.0, 0.3, 1.0)]
    assert drafted[0] == 0 < drafted[2]


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
    [{"lossless": "numeric"}, {"attention": "two_part"}],
    ids=lambda form: "-".join(form.values()),
)
def test_p1_tokens_are_the_largest_of_the_primary_up_to_near_ties(form: dict[str, str]) -> None:
    made = pair("tandem", 4, 3, "float32", **form)
    text = speed(made, NEAR, "greedy", tau=0.3)
    assert len({out["drafted"].max() for out in text.rounds}) > 1, "every round had one width"
    for prompt, tokens in zip(PROMPTS, text.tokens, strict=True):
        whole = jnp.asarray([[*prompt, *tokens]])
        own = {k[8:]: x for k, x in params(made.config, NEAR).items() if k.startswith("primary.")}
        logits = np.asarray(primary_pass(made.config, own, whole)[0])[len(prompt) - 1 : -1]
        chosen = np.take_along_axis(logits, np.array(tokens)[:, None], 1)[:, 0]
        assert (logits.max(-1) - chosen).max() < 1e-3
