"""Slots of a SavedModel, loaded as a server loads it: who may touch what, and what is kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from tandem_export.errors import RequestError
from tandem_export.serving import LocalModel, NotHeld
from tests.serving.bundles import SLOTS, VOCAB, local, model_folder, rounds_only
from tests.serving.calls import Session, ints, sampling

CACHE = 512


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return local("rounds")


@pytest.fixture
def session(model) -> Iterator[Session]:
    made = Session(model, owner=7)
    yield made
    made.close()


def answer(session: Session, prompt: list[int], rounds: int, gamma: int = 1) -> list[int]:
    session.start(prompt, budget=CACHE - 10)
    return [token for _ in range(rounds) for token in session.round(gamma)]


def test_eight_threads_on_their_own_slots_answer_as_one_does(model) -> None:
    prompts = [[1 + i, 3, 2 + i] for i in range(8)]
    alone = Session(model, owner=99)
    want = [answer(alone, prompt, 200) for prompt in prompts]
    alone.close()
    assert len({tuple(tokens) for tokens in want}) == 8
    got: dict[int, list[int]] = {}
    sessions = [Session(model, owner=100 + i) for i in range(8)]

    def run(i: int) -> None:
        got[i] = answer(sessions[i], prompts[i], 200)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own in sessions:
        own.close()
    assert [got[i] for i in range(8)] == want


def test_two_signatures_on_one_slot_lose_nothing(session) -> None:
    budget = 300
    session.start([5, 6, 7], budget)
    want = []
    while step := session.round(1):
        want += step
    session.start([5, 6, 7], budget)
    got: dict[int, list[int]] = {gamma: session.round(gamma) for gamma in (0, 1)}  # compiled now
    together = threading.Barrier(2)

    def run(gamma: int) -> None:
        together.wait()
        while step := session.round(gamma):
            got[gamma] += step

    threads = [threading.Thread(target=run, args=(gamma,)) for gamma in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(want) == budget
    assert min(map(len, got.values())) > 2, "both took turns"
    assert sorted(got[0] + got[1]) == sorted(want)


BAD = {
    "owner": (dict(owner=ints(0)), "`owner` must be within 1 .."),
    "slot-outside": (dict(slots=ints(SLOTS + 1)), f"`slots` must be within 0 .. {SLOTS}"),
    "slot-negative": (dict(slots=ints(-1)), "`slots` must be within 0 .."),
    "slot-of-another": (dict(owner=ints(8)), "`slots` must be held by `owner`"),
    "temperature": (dict(temperature=np.array([-1], np.float32)), "`temperature` must be within"),
    "nan": (dict(temperature=np.array([np.nan], np.float32)), "`temperature` must be within"),
    "top_p": (dict(top_p=np.array([0], np.float32)), "`top_p` must be above 0"),
    "top_k": (dict(top_k=ints(-1)), "`top_k` must be within 0"),
    "rule": (dict(rule=ints(4)), "`rule` must be within 0 .. 3"),
}


@pytest.mark.parametrize(("changed", "text"), BAD.values(), ids=BAD)
def test_a_bad_round_is_refused_and_changes_no_slot(model, session, changed, text) -> None:
    want = answer(session, [5, 6, 7], 6)
    session.start([5, 6, 7], budget=CACHE - 10)
    got = [token for _ in range(3) for token in session.round(1)]
    inputs = {"slots": ints(session.slot), "owner": session.owner, **sampling(1)} | changed
    with pytest.raises(RequestError, match=text.replace("..", r"\.\.")):
        model.call("round_b1_g1", inputs)
    got += [token for _ in range(3) for token in session.round(1)]
    assert got == want


PREFILL = {
    "token": (dict(tokens=np.array([[1, 2, VOCAB, 1]], np.int32)), f"`tokens` .*Got: {VOCAB}"),
    "negative-token": (dict(tokens=np.array([[1, -2, 3, 1]], np.int32)), "`tokens` .*Got: -2"),
    "past-the-cache": (dict(start=ints(CACHE - 3)), f"`start` must be .*{CACHE - 4}.*Got: 509"),
    "busy": (dict(owner=ints(8)), "`slots` must be held by `owner`"),
}


@pytest.mark.parametrize(("changed", "text"), PREFILL.values(), ids=PREFILL)
def test_a_bad_prefill_is_refused_and_changes_no_slot(model, session, changed, text) -> None:
    want = answer(session, [5, 6, 7], 6)
    session.start([5, 6, 7], budget=CACHE - 10)
    got = [token for _ in range(3) for token in session.round(1)]
    good = {"tokens": np.array([[1, 2, 3, 4]], np.int32), "start": ints(0)}
    inputs = {"slots": ints(session.slot), "owner": session.owner, **good} | changed
    with pytest.raises(RequestError, match=text):
        model.call("prefill_b1_t4", inputs)
    got += [token for _ in range(3) for token in session.round(1)]
    assert got == want


INSERT = {
    "budget": (dict(budget=ints(CACHE)), f"position . 1 . budget at most {CACHE}. Got: {CACHE}"),
    "position": (dict(position=ints(-1)), "`position` must be within 0"),
    "last": (dict(last=ints(VOCAB)), "`last` must be within 0"),
    "target": (dict(target=ints(SLOTS + 1)), "`target` must be within 0"),
    "scratch": (dict(target=ints(SLOTS)), "`budget` must be 0 on the scratch slot. Got: 1"),
}


@pytest.mark.parametrize(("changed", "text"), INSERT.values(), ids=INSERT)
def test_a_bad_insert_is_refused(model, session, changed, text) -> None:
    good = dict.fromkeys(("position", "last", "previous", "budget"), ints(1))
    inputs = {"slots": ints(session.slot), "target": ints(session.slot), "owner": session.owner}
    with pytest.raises(RequestError, match=text):
        model.call("insert", inputs | good | changed)


def test_slots_are_handed_out_until_none_is_free(model) -> None:
    many = [Session(model, owner=20) for _ in range(SLOTS)]
    assert sorted(one.slot for one in many) == list(range(SLOTS))
    with pytest.raises(RequestError, match="a slot must be free"):
        Session(model, owner=21)
    many[0].close()
    again = Session(model, owner=21)
    assert again.slot == 0
    owners = model.call("release", {"owner": ints(22)})["owners"]
    assert owners.tolist() == [21] + [0] * (SLOTS - 1)
    again.close()


def test_every_load_has_its_own_epoch_and_empty_slots(model, session) -> None:
    other = LocalModel(model_folder(rounds_only()))
    epochs = {
        int(one.call("release", {"owner": ints(22)})["epoch"]) for one in (model, model, other)
    }
    assert len(epochs) == 2
    with pytest.raises(NotHeld):
        other.call("round_b1_g1", {"slots": ints(0), "owner": session.owner, **sampling(1)})
    other.close()
