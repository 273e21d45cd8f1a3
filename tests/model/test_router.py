from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.model import Router, bind, router_features
from tests.tiny import TANDEM, random_params

# Four tokens with embeddings of two; the first index is the token.
EMBEDDING = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])


def test_features_by_hand():
    # q = (1/8, 1/2, 1/8, 1/4): entropy (3/8 + 1/2 + 3/8 + 2/4) ln 2, best tokens 1 and 3.
    logits = jnp.log(jnp.array([[0.125, 0.5, 0.125, 0.25]]))
    features = router_features(logits, EMBEDDING, 2)
    np.testing.assert_allclose(
        features, [[1.75 * math.log(2), 0.5, 0.25, 3.0, 4.0, 7.0, 8.0]], rtol=1e-6
    )


def test_features_of_a_certain_distribution_are_finite():
    features = router_features(jnp.array([[-1e30, 0.0, -1e30, -1e30]]), EMBEDDING, 1)
    np.testing.assert_array_equal(features, [[0.0, 1.0, 3.0, 4.0]])


def test_features_ignore_a_constant_added_to_the_logits():
    logits = jnp.array([[0.3, -1.0, 2.0, 0.7]])
    np.testing.assert_allclose(
        router_features(logits, EMBEDDING, 3),
        router_features(logits + 9.0, EMBEDDING, 3),
        rtol=1e-5,
    )


def reference_acceptance(logits: np.ndarray, embedding: np.ndarray, params: dict) -> float:
    """One row `[V]`, in float64."""
    q = np.exp(logits - logits.max())
    q /= q.sum()
    best = np.argsort(-q)[:3]
    x = np.concatenate([[-(q * np.log(q)).sum()], q[best], embedding[best].reshape(-1)])
    h = x @ params["hidden.weight"] + params["hidden.bias"]
    h = 0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
    return 1 / (1 + math.exp(-(h @ params["out.weight"] + params["out.bias"])[0]))


def test_acceptance_matches_the_reference():
    rng = np.random.default_rng(3)
    logits, embedding = rng.normal(size=(4, 17)) * 2, rng.normal(size=(17, 6))
    params = random_params(TANDEM, "router")
    router: Router = bind(TANDEM, "router", params)
    got = router(jnp.asarray(logits, jnp.float32), jnp.asarray(embedding, jnp.float32))
    exact = {name: np.asarray(value, np.float64) for name, value in params.items()}
    want = [reference_acceptance(row, embedding, exact) for row in logits]
    np.testing.assert_allclose(got, want, rtol=1e-4)
    assert np.ptp(want) > 0.01


def test_a_router_in_bfloat16_still_predicts_in_float32():
    params = random_params(TANDEM, "router")
    rounded = {name: value.astype(jnp.bfloat16) for name, value in params.items()}
    args = jnp.ones((2, 17)), jnp.ones((17, 6), jnp.bfloat16)
    got = bind(TANDEM, "router", rounded)(*args)
    assert got.dtype == jnp.float32
    want = bind(TANDEM, "router", params)(args[0], args[1].astype(jnp.float32))
    np.testing.assert_allclose(got, want, atol=0.02)


@pytest.mark.parametrize("top_k", [1, 4])
def test_top_k_sets_the_number_of_features(top_k):
    assert TANDEM.router is not None
    router = dataclasses.replace(TANDEM.router, top_k=top_k)
    params = random_params(dataclasses.replace(TANDEM, router=router), "router")
    assert params["hidden.weight"].shape == (1 + top_k + top_k * 6, 5)
