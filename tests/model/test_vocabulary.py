from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tandem_export.config import TandemConfig
from tandem_export.model import abstract, bind, initialise, router_features
from tandem_export.model.vocabulary import VocabularyMap
from tests.tiny import DRAFTER, INDEPENDENT, LLAMA, TANDEM, random_params

# Of the tokens 0 .. 3 the drafter knows 0 (its row 1) and 2 (its row 0); 1 reads as row 1, 3 as 0.
ROWS = jnp.array([1, ~1, 0, ~0], jnp.int32)


@pytest.fixture
def vocabulary() -> VocabularyMap:
    module = VocabularyMap(4, 2)
    module.rows = nnx.Param(ROWS)
    return module


def test_every_token_has_a_row(vocabulary: VocabularyMap) -> None:
    tokens = jnp.array([[0, 1], [2, 3]])
    assert vocabulary.row_of(tokens).tolist() == [[1, 1], [0, 0]]


def test_unknown_tokens_have_probability_zero(vocabulary: VocabularyMap) -> None:
    spread = vocabulary.spread(jnp.array([[5.0, 7.0]]))
    assert spread[0, [0, 2]].tolist() == [7.0, 5.0]
    assert (jnp.exp(spread - 7.0)[0, [1, 3]] == 0).all()


def test_router_reads_the_drafters_own_rows() -> None:
    logits = jnp.array([[2.0, -1e30, 1.0, -1e30]])
    embedding = jnp.array([[10.0, 11.0], [20.0, 21.0]])
    features = router_features(logits, embedding, 2, ROWS)
    p = np.exp([2.0, 1.0]) / np.exp([2.0, 1.0]).sum()
    want = [-(p * np.log(p)).sum(), *p, 20, 21, 10, 11]
    np.testing.assert_allclose(features[0], want, rtol=1e-6)


def test_a_drafter_with_a_map_is_the_same_drafter_over_fewer_tokens() -> None:
    """The whole drafter's logits, of the tokens that the reduced one knows."""
    kept = np.array([1, 4, 5, 11, 16])
    small = dataclasses.replace(DRAFTER, vocab_size=5, tied_embedding=False)
    whole = TandemConfig(
        primary=LLAMA,
        drafter=dataclasses.replace(DRAFTER, tied_embedding=False),
        kind="independent",
    )
    reduced = TandemConfig(primary=LLAMA, drafter=small, kind="independent")
    params = random_params(whole, "drafter")
    rows = np.full(17, ~0, np.int32)
    rows[kept] = np.arange(5)
    cut = {
        "embedding.weight": params["embedding.weight"][kept],
        "head.weight": params["head.weight"][:, kept],
        "vocabulary.rows": jnp.asarray(rows),
    }
    tokens = jnp.asarray(kept)[None]
    one, other = bind(whole, "drafter", params), bind(reduced, "drafter", params | cut)
    x, y = one.embed(tokens), other.embed(tokens)
    assert (x == y).all()
    want, got = one.logits(x), other.logits(y)
    np.testing.assert_allclose(got[:, kept], want[:, kept], rtol=1e-6)
    assert (np.delete(np.asarray(got), kept, 1) < -1e29).all()


def test_the_map_is_int32_and_there_only_when_needed() -> None:
    small = dataclasses.replace(DRAFTER, vocab_size=5)
    reduced = dataclasses.replace(TANDEM, drafter=small)
    assert abstract(reduced, "drafter")["vocabulary.rows"].dtype == jnp.int32
    assert (
        initialise(reduced, "drafter", 0)["vocabulary.rows"].tolist() == [0, 1, 2, 3, 4] + [~0] * 12
    )
    for config in (TANDEM, INDEPENDENT):
        assert "vocabulary.rows" not in abstract(config, "drafter")
