"""Progress has one type."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("tandem_export", "recipes", "experiments", "examples")


def files() -> dict[str, str]:
    """Every source file, by its path from the root."""
    paths = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def test_no_room_declares_a_progress_of_its_own() -> None:
    again = re.compile(r"Callable\[\[int, int(, str)?\], (None|object)\]")
    assert [name for name, text in files().items() if again.search(text)] == []
    named = re.compile(r"^(class|from rich.progress import) *Progress\b", re.MULTILINE)
    assert [name for name, text in files().items() if named.search(text)] == [
        "tandem_export/progress.py"
    ]


def test_tables_and_bars_are_drawn_in_one_place_each() -> None:
    drawn = re.compile(r"^ *(from|import) rich\b", re.MULTILINE)
    assert sorted(name for name, text in files().items() if drawn.search(text)) == [
        "tandem_export/cli/output.py",
        "tandem_export/cli/tables.py",
    ]


def test_medians_of_times_are_taken_in_one_place() -> None:
    """Beside it the report, whose figures are ratios of a turn's times and counts."""
    taken = re.compile(r"\bmedian\(")
    assert sorted(name for name, text in files().items() if taken.search(text)) == [
        "tandem_export/measure/speed/report.py",
        "tandem_export/measure/turns.py",
    ]
