"""Checks of rounds, an executor's fused ones and those put together from its steps.

See `Rounds`.
"""

from __future__ import annotations

import numpy as np

from tandem_export.runtime.reference.sampling import log_softmax
from tandem_export.runtime.request.params import SamplingParams
from tandem_export.runtime.rounds.inputs import idle_rows, with_row
from tandem_export.runtime.rounds.protocol import RoundKind, RoundResult
from tandem_export.runtime.testing.subject import (
    PROMPTS,
    Check,
    Row,
    Subject,
    expected_draft,
    expected_text,
    insert_all,
    run_rows,
    texts_of,
)

_SAMPLED = SamplingParams(
    temperature=0.8, top_k=7, top_p=0.9, min_p=0.02, seed=2**40 + 5, rule="gumbel"
)
_HOT = SamplingParams(temperature=1.3, seed=7, rule="gumbel")


def a_round_is_a_draft_verified(subject: Subject) -> None:
    """Checks that a greedy round commits the drafts that the primary agrees with, and its token."""
    for rounds in subject.drivers():
        rows = Row(prompt=PROMPTS[1]), Row(prompt=PROMPTS[2], budget=9)
        results = run_rows(subject, rounds, rows)
        for slot, row in enumerate(rows):
            tokens, left = list(row.prompt), row.budget
            for result in results:
                got = result.tokens[slot, : result.count[slot]].tolist()
                limit = max(min(subject.gamma, left - 1), 0)
                drafts = expected_draft(subject, tokens, limit)
                assert got == _judged(subject, tokens, drafts)[:left], f"slot {slot}: {tokens}"
                assert result.drafted[slot] == limit, f"slot {slot}: drafted"
                tokens, left = [*tokens, *got], left - len(got)
            assert left == 0


def _judged(subject: Subject, tokens: list[int], drafts: list[int]) -> list[int]:
    choices = np.argmax(subject.primary([*tokens, *drafts])[len(tokens) - 1 :], -1).tolist()
    agreed = next((i for i, draft in enumerate(drafts) if draft != choices[i]), len(drafts))
    return [*drafts[:agreed], choices[agreed]]


def a_result_has_the_shapes_that_are_documented(subject: Subject) -> None:
    """Dtypes too, and -1 after the tokens."""
    for rounds in subject.drivers():
        for result in run_rows(subject, rounds, [Row(prompt=PROMPTS[1])]):
            batch, width = subject.executor.batch, subject.gamma + 1
            assert result.tokens.shape == result.logprob.shape == (batch, width)
            assert result.count.shape == result.drafted.shape == result.stopped.shape == (batch,)
            for array in (result.tokens, result.count, result.drafted, result.stopped):
                assert array.dtype == np.int32
            assert result.logprob.dtype == np.float32
            assert type(result.drafter_steps) is int
            assert result.drafted.max() <= result.drafter_steps <= subject.gamma
            after = np.arange(width) >= result.count[:, None]
            np.testing.assert_array_equal(result.tokens == -1, after)


def log_probabilities_are_the_primarys_at_temperature_1(subject: Subject) -> None:
    """Checks log-probabilities, of sampled rows too, before any filter."""
    for rounds in subject.drivers():
        rows = Row(prompt=PROMPTS[1], params=_SAMPLED), Row(prompt=PROMPTS[2])
        results = run_rows(subject, rounds, rows)
        for slot, row in enumerate(rows):
            text = texts_of(results, slot)
            logits = subject.primary([*row.prompt, *text])[len(row.prompt) - 1 : -1]
            want = [log_softmax(own)[token] for own, token in zip(logits, text, strict=True)]
            got = [v for r in results for v in r.logprob[slot, : r.count[slot]].tolist()]
            np.testing.assert_allclose(got, want, rtol=0, atol=subject.tolerance)


def every_row_has_parameters_of_its_own(subject: Subject) -> None:
    """Checks greedy, filtered and hot rows in both slots: each is the primary's text."""
    rows = [Row(prompt=PROMPTS[1], params=params) for params in (_SAMPLED, _HOT, SamplingParams())]
    want = [expected_text(subject, row) for row in rows]
    assert len({tuple(text) for text in want}) == len(rows), "the three differ"
    for rounds in subject.drivers():
        for one, other in ((0, 1), (1, 0), (1, 2), (2, 0)):
            results = run_rows(subject, rounds, (rows[one], rows[other]))
            assert texts_of(results, 0) == want[one], f"row {one} beside {other}"
            assert texts_of(results, 1) == want[other], f"row {other} beside {one}"


def a_row_drafts_no_more_than_it_is_told(subject: Subject) -> None:
    """Checks that no more is drafted than the budget leaves room for; the text is the same."""
    for rounds in subject.drivers():
        rows = Row(prompt=PROMPTS[1], max_draft=1), Row(prompt=PROMPTS[2], max_draft=0)
        results = run_rows(subject, rounds, rows)
        assert [texts_of(results, slot) for slot in (0, 1)] == [
            expected_text(subject, row) for row in rows
        ]
        assert max(result.drafted[0] for result in results) == 1
        assert not any(result.drafted[1] for result in results)
        assert all(r.count[1] <= 1 and (r.count[0] <= 2) for r in results)


def a_row_stops_at_its_budget(subject: Subject) -> None:
    """Checks that a row without budget commits nothing, and that its neighbour goes on."""
    for rounds in subject.drivers():
        rows = Row(prompt=PROMPTS[1], budget=2), Row(prompt=PROMPTS[2], budget=7)
        results = run_rows(subject, rounds, rows)
        for slot, row in enumerate(rows):
            assert texts_of(results, slot) == expected_text(subject, row)
        inputs = insert_all(subject, rounds, (Row(prompt=PROMPTS[1], budget=0), rows[1]))
        _check_nothing(rounds.round(subject.kind, inputs), 0)


def _check_nothing(result: RoundResult, slot: int) -> None:
    assert result.count[slot] == result.drafted[slot] == result.stopped[slot] == 0
    assert (result.tokens[slot] == -1).all(), "an idle row commits nothing"


def a_rule_is_a_rows_own(subject: Subject) -> None:
    """Checks a row that commits its drafts unverified, beside one that verifies them."""
    for rounds in subject.drivers():
        row = Row(prompt=PROMPTS[1], params=SamplingParams(mode="standalone"), budget=subject.gamma)
        results = run_rows(subject, rounds, (row, Row(prompt=PROMPTS[2])))
        assert texts_of(results, 0) == expected_draft(subject, row.prompt, subject.gamma)
        assert texts_of(results, 1) == expected_text(subject, Row(prompt=PROMPTS[2]))


def the_router_stops_a_row_at_its_own_threshold(subject: Subject) -> None:
    """Checks that one row never goes on after its first draft, and the other is never stopped."""
    if not subject.router:
        return
    kind = RoundKind(role="round_router", gamma=subject.gamma)
    for rounds in subject.drivers():
        rows = Row(prompt=PROMPTS[1], tau=1), Row(prompt=PROMPTS[2], tau=0)
        first = run_rows(subject, rounds, rows, kind)[0]
        assert first.drafted[:2].tolist() == [1, subject.gamma]
        assert first.stopped[:2].tolist() == [1, 0]


def a_rounds_row_does_not_depend_on_its_neighbours(subject: Subject) -> None:
    """Checks bit for bit, log-probabilities too, beside idle slots and beside a sampled row."""
    row = Row(prompt=PROMPTS[2], params=_HOT)
    for rounds in subject.drivers():
        seen: list[np.ndarray] = []
        for neighbour in (None, Row(prompt=PROMPTS[1], params=_SAMPLED, budget=4)):
            for slot in range(subject.executor.batch):
                rounds.release(slot)
            results = run_rows(subject, rounds, (row, neighbour))
            seen.append(np.concatenate([r.logprob[0, : r.count[0]] for r in results]))
        np.testing.assert_array_equal(seen[0], seen[1])


def new_inputs_hold_from_the_next_round(subject: Subject) -> None:
    """Checks that a greedy row becomes sampled when only the object with the inputs says so."""
    prompt = PROMPTS[1]
    for rounds in subject.drivers():
        inputs = insert_all(subject, rounds, [Row(prompt=prompt)])
        first = texts_of([rounds.round(subject.kind, inputs)], 0)
        sampled = Row(prompt=(*prompt, *first), params=_HOT, budget=8 - len(first))
        changed = with_row(idle_rows(subject.executor.batch), 0, sampled.sampling(subject.gamma))
        got = texts_of([rounds.round(subject.kind, changed) for _ in range(8)], 0)
        assert got == expected_text(subject, sampled)


def a_rounds_result_is_the_callers(subject: Subject) -> None:
    """Checks that no later call changes a result."""
    for rounds in subject.drivers():
        inputs = insert_all(subject, rounds, (Row(prompt=PROMPTS[1]), Row(prompt=PROMPTS[2])))
        result = rounds.round(subject.kind, inputs)
        before = {name: np.copy(value) for name, value in vars(result).items()}
        rounds.round(subject.kind, inputs)
        rounds.release(0)
        insert_all(subject, rounds, [Row(prompt=PROMPTS[0])])
        rounds.round(subject.kind, inputs)
        for name, value in vars(result).items():
            np.testing.assert_array_equal(value, before[name], err_msg=name)


CHECKS: tuple[Check, ...] = (
    a_round_is_a_draft_verified,
    a_result_has_the_shapes_that_are_documented,
    log_probabilities_are_the_primarys_at_temperature_1,
    every_row_has_parameters_of_its_own,
    a_row_drafts_no_more_than_it_is_told,
    a_row_stops_at_its_budget,
    a_rule_is_a_rows_own,
    the_router_stops_a_row_at_its_own_threshold,
    a_rounds_row_does_not_depend_on_its_neighbours,
    new_inputs_hold_from_the_next_round,
    a_rounds_result_is_the_callers,
)
