"""Tables at 80 columns, and progress where there is no terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from tandem_export.cli.output import make_table, progress, waiting
from tandem_export.cli.tables import column_groups

# The widest tables of `bench`, `plan` and `compile`, with values as they occur.
WIDE = {
    "bench": [
        ("candidate", "SPEED with router, gamma 8, tau 0.7"),
        (">tokens/s", "1234"),
        (">slowest .. fastest", "1200 .. 1300"),
        (">speed-up", "2.31"),
        (">with prefill", "2.10"),
        (">accepted", "3.45"),
        ("acceptance by position", "91 74 60 50 40 31 22 13 %"),
        (">host", "12.3%"),
        (">call", "4.5%"),
    ],
    "plan": [
        (">batch", "128"),
        (">gamma", "16"),
        ("widths", "1/17"),
        (">tokens a round", "3.95"),
        (">round ms", "10.88"),
        (">tokens/s", "10732"),
        (">speed-up", "2.26"),
        ("bound by", "arithmetic"),
        (">memory GiB", "15.53"),
        (">padding loses", "14%"),
        (">at worst", "26%"),
    ],
    "compile": [
        ("graph", "primary_block_b128_t17"),
        ("compiles", "yes"),
        (">peak", "15.2 GB"),
        (">arguments", "14.1 GB"),
        ("cache in place", "yes"),
        (">copies", "0"),
        (">moves", "13.9 GB"),
        (">of roofline", "1.021"),
        (">estimated ms", "17.123"),
        ("collectives", "12 all-reduce, 2 all-gather"),
        (">seconds", "123.4 kept"),
    ],
}


def shown(columns: list[str], row: list[str], width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(make_table("Title", columns, [row]))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("width", [80, 100, 160])
def test_nothing_is_cut_or_broken(name: str, width: int) -> None:
    columns, row = (list(texts) for texts in zip(*WIDE[name], strict=True))
    lines = shown(columns, row, width)
    assert max(map(len, lines)) <= width
    cells = {cell.strip() for line in lines[1:] for cell in re.split("[│┃]", line)}
    assert {*row, *(column.removeprefix(">") for column in columns)} <= cells


def test_columns_go_below_with_the_first_one_again() -> None:
    assert column_groups([10, 10, 10], 80) == [[0, 1, 2]]
    assert column_groups([10, 10, 10], 40) == [[0, 1, 2]]
    assert column_groups([10, 10, 10], 39) == [[0, 1], [0, 2]]
    assert column_groups([10, 99, 10], 39) == [[0, 1], [0, 2]]
    assert column_groups([10], 5) == [[0]]


def test_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.0, 1.0, 6.0, 6.0, 7.0, 8.0, 8.0])
    monkeypatch.setattr("tandem_export.cli.output.time.monotonic", lambda: next(clock))
    with progress(quiet=False) as report:
        for i, name in enumerate("abcde", 1):
            report(i, 5, name)
    assert capsys.readouterr().err.splitlines() == ["1 of 5: a", "3 of 5: c", "5 of 5: e"]
    with progress(quiet=True) as report, waiting("x", quiet=True):
        report(1, 1, "a")
    assert capsys.readouterr().err == ""
    with waiting("loading", quiet=False):
        assert capsys.readouterr().err == "loading\n"
