"""The parser on a hand-written schedule."""

from __future__ import annotations

from tandem_export.tpu.schedule.hlo import Array, parse
from tests.tpu.schedule.sample import TEXT

MODULE = parse(TEXT)
MAIN = MODULE.computations["main"].instructions


def test_computations_and_entry() -> None:
    assert MODULE.entry == "main"
    assert set(MODULE.computations) == {
        "sliced",
        "updated",
        "body",
        "condition",
        "greedy",
        "sampled",
        "main",
    }
    assert MODULE.computations["updated"].root.name == "dus"
    assert [p.name for p in MODULE.computations["updated"].parameters] == ["c", "r", "i"]


def test_types_with_memory_spaces() -> None:
    assert MAIN["start"].arrays == (
        Array(bytes=1024, space=1, bits=32),
        Array(bytes=1024, space=0, bits=32),
        Array(bytes=4, space=0, bits=32),
    )
    assert MAIN["start"].size(hbm_only=True) == 1028
    assert MAIN["k"].size() == 4


def test_operands_calls_and_estimates() -> None:
    assert MAIN["new"].operands == ("cache", "near", "k")
    assert MAIN["new"].called == ["updated"] and MAIN["new"].cycles == 50
    assert MAIN["either"].called == ["greedy", "sampled"]
    assert MAIN["copy.1"].cycles == 0
    assert [user.name for user in MODULE.computations["main"].users["k"]] == [
        "tuple",
        "either",
        "new",
    ]
