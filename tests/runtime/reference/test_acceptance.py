from __future__ import annotations

import numpy as np
import pytest

from tandem_export.contract import Stream
from tandem_export.runtime import AcceptanceRule, draw, gumbel, judge, uniform
from tandem_export.runtime.reference.acceptance import judge_greedy, residual_log_probs

SEED = np.array([5, 6], np.uint32)
RULES = [AcceptanceRule.LEVIATHAN, AcceptanceRule.GUMBEL]
IDS = ["leviathan", "gumbel"]


def log(*p: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.array(p, np.float32))


@pytest.mark.parametrize("kept", [1, 3, 40, 200], ids=str)
def test_a_draw_is_the_argmax_over_all_noise(kept: int) -> None:
    """Also where most tokens cannot win and get no noise."""
    rng = np.random.default_rng(kept)
    for position in range(50):
        logits = rng.normal(0, 9, 200).astype(np.float32)
        logits[rng.permutation(200)[kept:]] = -np.inf
        want = int(np.argmax(logits + gumbel(SEED, position, Stream.TOKEN, 200)))
        assert draw(logits, SEED, position) == want


def test_residual_by_hand() -> None:
    # max(0, p - q) = [0.3, 0, 0.1], normalized [0.75, 0, 0.25].
    got = np.exp(residual_log_probs(log(0.5, 0.2, 0.3), log(0.2, 0.6, 0.2)))
    assert got.tolist() == pytest.approx([0.75, 0, 0.25], abs=1e-6)


def test_residual_of_equal_distributions_is_p() -> None:
    p = log(0.5, 0.5)
    assert residual_log_probs(p, p) is p


@pytest.mark.parametrize("rule", RULES, ids=IDS)
@pytest.mark.parametrize(
    ("drafts", "primary", "want"),
    [
        ([1, 2], [1, 2, 0], (1, 2, 0)),
        ([1, 2], [1, 0, 2], (1, 0)),
        ([1, 2], [0, 2, 1], (0,)),
        ([], [2], (2,)),
    ],
    ids=["all", "one", "none", "no draft"],
)
def test_greedy_keeps_drafts_up_to_the_first_disagreement(
    rule: AcceptanceRule, drafts: list[int], primary: list[int], want: tuple[int, ...]
) -> None:
    one_hot = [log(*np.eye(3)[token]) for token in primary]
    log_q = [log(*np.eye(3)[token]) for token in drafts]
    verdict = judge(rule, drafts, log_q, one_hot, SEED, position=7)
    assert verdict.tokens == want
    assert verdict.accepted == len(want) - 1


def test_leviathan_compares_u_q_with_p_at_the_drafts_own_index() -> None:
    u = float(uniform(SEED, 8, Stream.ACCEPT))
    q = 0.8
    for shift, accepted in ((0.01, 1), (-0.01, 0)):
        p = u * q + shift
        log_q, log_p = [log(q, 1 - q)], [log(p, 1 - p), log(0.5, 0.5)]
        assert judge(AcceptanceRule.LEVIATHAN, [0], log_q, log_p, SEED, 7).accepted == accepted


def test_leviathan_draws_from_the_residual_after_a_rejection() -> None:
    # Draft 3 has p = 0, so it is refused; what p has more of than q: [0.2, 0.2, 0.1, 0].
    p, q = log(0.4, 0.4, 0.2, 0.0), log(0.2, 0.2, 0.1, 0.5)
    for position in range(20):
        noise = gumbel(SEED, position + 1, Stream.RESIDUAL, 4)
        want = int(np.argmax(log(0.4, 0.4, 0.2, 0.0) + noise))
        assert judge(AcceptanceRule.LEVIATHAN, [3], [q], [p, p], SEED, position).tokens == (want,)


def test_leviathan_draws_the_bonus_from_the_residual_stream() -> None:
    p = log(0.3, 0.3, 0.4)
    want = int(np.argmax(p + gumbel(SEED, 9, Stream.RESIDUAL, 3)))
    assert judge(AcceptanceRule.LEVIATHAN, [0], [p], [p, p], SEED, 7).tokens == (0, want)


def test_gumbel_gives_the_primarys_own_choice() -> None:
    p = log(0.2, 0.3, 0.5)
    own = int(np.argmax(p + gumbel(SEED, 8, Stream.TOKEN, 3)))
    other = (own + 1) % 3
    for draft, accepted in ((own, 1), (other, 0)):
        verdict = judge(AcceptanceRule.GUMBEL, [draft], [p], [p, p], SEED, 7)
        assert verdict.tokens[0] == own
        assert verdict.accepted == accepted


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_a_drafter_equal_to_the_primary_has_every_draft_accepted(rule: AcceptanceRule) -> None:
    p = log(0.1, 0.2, 0.3, 0.4)
    for position in range(0, 200, 5):
        drafts = [draw(p, SEED, position + 1 + i) for i in range(4)]
        assert judge(rule, drafts, [p] * 4, [p] * 5, SEED, position).accepted == 4


@pytest.mark.parametrize(
    ("rule", "length"),
    [(AcceptanceRule.STANDALONE, 2), (AcceptanceRule.STANDALONE_FREE, 3)],
    ids=["without", "with"],
)
def test_standalone_takes_every_draft(rule: AcceptanceRule, length: int) -> None:
    never = log(0.0, 0.0, 1.0)
    verdict = judge(rule, [0, 1], [log(1, 0, 0), log(0, 1, 0)], [never] * 3, SEED, 3)
    assert verdict.tokens == (0, 1, 2)[:length]
    assert verdict.accepted == 2


@pytest.mark.parametrize("rule", list(AcceptanceRule), ids=lambda rule: rule.name.lower())
@pytest.mark.parametrize("drafts", [[], [0], [2, 1], [2, 0, 1]], ids=str)
def test_greedy_judgement_is_that_of_one_hot_distributions(
    rule: AcceptanceRule, drafts: list[int]
) -> None:
    own = [2, 0, 0, 1][: len(drafts) + 1]
    one_hot = [log(*np.eye(3)[token]) for token in (*drafts, *own)]
    log_q, log_p = one_hot[: len(drafts)], one_hot[len(drafts) :]
    assert judge_greedy(rule, drafts, own) == judge(rule, drafts, log_q, log_p, SEED, 3)


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_the_first_token_has_the_primarys_distribution(rule: AcceptanceRule) -> None:
    """P2 on three tokens: one draft from q, judged against p, at 2000 positions."""
    p, q, n = np.array([0.6, 0.3, 0.1]), log(0.2, 0.3, 0.5), 2000
    seen = np.zeros(3)
    for position in range(0, 2 * n, 2):
        draft = draw(q, SEED, position + 1)
        seen[judge(rule, [draft], [q], [log(*p)] * 2, SEED, position).tokens[0]] += 1
    assert float(np.sum((seen - n * p) ** 2 / (n * p))) < 13.8  # 2 degrees of freedom, 0.1 %
