"""P2: what the whole loop samples has the primary's distribution, by chi-square."""

from __future__ import annotations

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from recipes.stdlib_mini.losses import primary_pass
from tandem_export.config import TandemConfig
from tandem_export.contract import AcceptanceRule
from tandem_export.graphs import MAX_STOP_TOKENS, BuildOptions, plan_graphs
from tandem_export.runtime import processed_log_probs
from tests.graphs.harness import params, sampling
from tests.tiny import LLAMA

LEVIATHAN, GUMBEL, STANDALONE_FREE, _ = AcceptanceRule

V, NEW, SAMPLES, CHUNK = 5, 3, 100_000, 20_000
PROMPT = (1, 3)
DECODER = dataclasses.replace(LLAMA, vocab_size=V, num_layers=1)
CONFIG = TandemConfig(primary=DECODER, drafter=DECODER, layer_map=(0,))
OPTIONS = BuildOptions(
    batch=(1,), gamma=(2,), prompt=(len(PROMPT),), cache=8, max_new=NEW, roles=("generate",)
)
FILTERS = {"temperature 1": {"temperature": 1.0}, "top-p 0.9": {"temperature": 1.0, "top_p": 0.9}}


@cache
def weights() -> dict:
    """A drafter that is often wrong, and a primary with no token nearly certain."""
    drawn = params(CONFIG, 0.5, seed=2)
    heads = {name: drawn[name] / 2 for name in ("primary.head.weight", "drafter.head.weight")}
    return drawn | heads


@cache
def sampler():
    """(sampling inputs, seeds [n, 2]) -> outputs [n, ...]: a one-row graph mapped over seeds."""
    (graph,) = plan_graphs(CONFIG, OPTIONS)
    fixed = {
        "tokens": jnp.asarray([PROMPT]),
        "length": jnp.array([len(PROMPT)]),
        "max_new_tokens": jnp.array([NEW]),
        "stop_tokens": jnp.full((1, MAX_STOP_TOKENS), -1),
    }
    own = {name: weights()[name] for name in graph.params}

    def one(values: dict, seed: jax.Array) -> dict:
        outputs, _ = graph.function(own, {}, fixed | values | {"seed": seed[None]})
        return {name: outputs[name][0] for name in ("tokens", "drafted", "accepted")}

    return jax.jit(jax.vmap(one, in_axes=(None, 0)))


def observed(rule: int, options: dict) -> tuple[np.ndarray, float]:
    """How often each answer came, `[V, V, V]`, and the share of drafts that were accepted."""
    counts, drafted, accepted = np.zeros((V,) * NEW), 0, 0
    values = sampling(1, rule=rule, **options)
    for first in range(0, SAMPLES, CHUNK):
        place = np.arange(first, first + CHUNK)
        out = sampler()(values, np.stack([place, place % 7], 1).astype(np.uint32))
        np.add.at(counts, tuple(np.asarray(out["tokens"]).T), 1)
        drafted, accepted = drafted + out["drafted"].sum(), accepted + out["accepted"].sum()
    return counts, float(accepted / drafted)


def exact(options: dict) -> np.ndarray:
    """The probability of each answer, `[V, V, V]`, by running the primary over all of them."""
    pairs = np.stack(np.meshgrid(np.arange(V), np.arange(V), indexing="ij"), -1).reshape(-1, 2)
    tokens = np.concatenate([np.tile(PROMPT, (V * V, 1)), pairs], 1)
    own = {k.removeprefix("primary."): x for k, x in weights().items() if k.startswith("primary.")}
    logits, _ = primary_pass(CONFIG, own, jnp.asarray(tokens))
    logits = np.asarray(logits).reshape(V, V, -1, V)[:, :, len(PROMPT) - 1 :]
    p = np.exp(np.apply_along_axis(processed_log_probs, -1, logits, **options).astype(np.float64))
    return p[0, 0, 0][:, None, None] * p[:, 0, 1][:, :, None] * p[:, :, 2]


def p_value(counts: np.ndarray, probability: np.ndarray) -> float:
    """Of Pearson's chi-square test; what is expected less than 5 times is one cell."""
    assert counts[probability == 0].sum() == 0, "a token came that the filters had taken out"
    expected = probability * counts.sum()
    often = expected >= 5
    seen, want = ([*x[often], x[~often].sum()] for x in (counts, expected))
    pairs = [(a, b) for a, b in zip(seen, want, strict=True) if b > 0]
    statistic = sum((a - b) ** 2 / b for a, b in pairs)
    return float(stats.chi2.sf(statistic, len(pairs) - 1))


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("rule", [LEVIATHAN, GUMBEL], ids=["leviathan", "gumbel"])
def test_answers_have_the_primarys_distribution(rule: int, name: str) -> None:
    counts, share = observed(rule, FILTERS[name])
    assert 0.2 < share < 0.9, "acceptance is not put to the test"
    assert p_value(counts, exact(FILTERS[name])) > 1e-3


def test_the_check_sees_a_drafter_that_nobody_judges() -> None:
    counts, _ = observed(STANDALONE_FREE, FILTERS["temperature 1"])
    assert p_value(counts, exact(FILTERS["temperature 1"])) < 1e-9
