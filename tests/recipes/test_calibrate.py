"""The router's scale and shift, on predictions whose truth is known."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("optax", reason="training needs optax (the extra `train`)")

from recipes.imported.calibrate import calibrated, fit, sigmoid
from recipes.stdlib_mini.evaluate import calibration
from tandem_export.model import bind
from tests.tiny import TANDEM, random_params


def test_a_known_scale_and_shift_are_recovered() -> None:
    logits = np.linspace(-4, 6, 500)
    scale, shift = fit(logits, sigmoid(0.4 * logits - 1.5))
    assert (scale, shift) == pytest.approx((0.4, -1.5), abs=1e-3)


def test_predictions_that_are_all_alike_become_the_mean_share() -> None:
    scale, shift = fit(np.full(50, 2.0), np.full(50, 0.3))
    assert sigmoid(np.array(scale * 2.0 + shift)) == pytest.approx(0.3, abs=1e-3)


def test_the_router_itself_predicts_what_was_fitted() -> None:
    rng = np.random.default_rng(0)
    router = random_params(TANDEM, "router")
    logits = jnp.asarray(rng.normal(size=(64, TANDEM.drafter.vocab_size)), jnp.float32)
    embedding = random_params(TANDEM, "drafter")["embedding.weight"]
    before = np.asarray(bind(TANDEM, "router", router).logit(logits, embedding))
    accepted = sigmoid(0.5 * before - 1)
    better = calibrated(router, before, accepted)
    after = np.asarray(bind(TANDEM, "router", better)(logits, embedding))
    np.testing.assert_allclose(after, accepted, atol=1e-3)
    errors = [calibration(p, accepted)["error"] for p in (sigmoid(before), after)]
    assert errors[1] < 1e-3 < errors[0]


def test_sigmoid_of_large_numbers_is_finite() -> None:
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
