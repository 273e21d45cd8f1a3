"""Each measure against values that were worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tandem_export.measure.quality.scores import joined, means, score, score_primary, softmax

# Three tokens; the distributions are those of these logits.
Q = np.log(np.array([[0.5, 0.25, 0.25], [0.2, 0.7, 0.1]], np.float32))
P = np.array([[0.25, 0.25, 0.5], [0.1, 0.9, 0.0]])
LABELS = np.array([1, 1])


def test_by_hand() -> None:
    scores = score(Q, LABELS, P, P.argmax(-1))
    assert scores.correct.tolist() == [False, True]
    assert scores.agrees.tolist() == [False, True]
    assert scores.nats == pytest.approx([-math.log(0.25), -math.log(0.7)], rel=1e-6)
    # min(.5, .25) + min(.25, .25) + min(.25, .5), and min(.2, .1) + min(.7, .9) + min(.1, 0)
    assert scores.shared == pytest.approx([0.75, 0.8], rel=1e-6)
    found = means(scores)
    assert found.tokens == 2 and found.accuracy == found.relative_accuracy == 0.5
    assert found.ce == pytest.approx((math.log(4) - math.log(0.7)) / 2, rel=1e-6)
    assert found.relative_tv == pytest.approx(1 - (0.75 + 0.8) / 2, rel=1e-6)
    assert found.known_share == 1.0


def test_total_variation_is_half_the_sum_of_differences() -> None:
    rng = np.random.default_rng(0)
    q, p = rng.normal(size=(2, 50, 9)).astype(np.float32)
    scores = score(q, np.zeros(50, int), softmax(p), p.argmax(-1))
    exact_q, exact_p = (np.exp(x.astype(float)) for x in (q, p))
    exact_q /= exact_q.sum(-1, keepdims=True)
    exact_p /= exact_p.sum(-1, keepdims=True)
    np.testing.assert_allclose(1 - scores.shared, abs(exact_q - exact_p).sum(-1) / 2, atol=1e-6)
    np.testing.assert_allclose(scores.nats, -np.log(exact_q[:, 0]), rtol=1e-5)


def test_a_token_that_the_drafter_lacks_counts_for_all_but_cross_entropy() -> None:
    lacking = np.array([[0.0, 0.0, -1e30]] * 2, np.float32)
    p = np.array([[0.0, 0.5, 0.5]] * 2)
    scores = score(lacking, np.array([2, 1]), p, np.array([-1, 0]))
    assert scores.nats[0] == np.inf and scores.nats[1] == pytest.approx(math.log(2))
    found = means(scores)
    assert found.ce == pytest.approx(math.log(2)) and found.known_share == 0.5
    assert found.accuracy == 0.0 and found.relative_accuracy == 0.5
    assert found.relative_tv == 0.5
    assert score(Q, np.array([-1, 1]), P, LABELS).nats[0] == np.inf, "-1 is no token at all"
    assert means(score(lacking, np.array([2, 2]), p, np.array([0, 0]))).ce is None


def test_an_unlikely_token_is_one_that_the_drafter_has() -> None:
    scores = score_primary(np.array([[0.0, -300.0]], np.float32), np.array([1]))
    assert scores.nats == pytest.approx([300.0])


def test_the_primary_agrees_with_itself() -> None:
    found = means(score_primary(Q, LABELS))
    assert (found.relative_accuracy, found.relative_tv) == (1.0, 0.0)
    assert found.accuracy == 0.5 and found.ce == means(score(Q, LABELS, P, LABELS)).ce


def test_parts_are_joined_in_order() -> None:
    parts = [score_primary(Q[:1], LABELS[:1]), score_primary(Q[1:], LABELS[1:])]
    assert means(joined(parts)) == means(score_primary(Q, LABELS))
