"""Files and folders of the repository that the documentation names are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import README, ROOT, pages

EVERY = [
    *(README, ROOT / "CONTRIBUTING.md", ROOT / "RELEASING.md", ROOT / "SECURITY.md"),
    *pages(),
]
_PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`")
_TOPS = ("docs", "examples", "experiments", "recipes", "requirements", "tandem_export", "tests")


def named(page: Path) -> list[str]:
    """Paths of a page: those under a folder of the repository, and those of Python files."""
    paths = _PATH.findall(page.read_text("utf-8"))
    return [path for path in paths if path.partition("/")[0] in _TOPS or path.endswith(".py")]


@pytest.mark.parametrize("page", EVERY, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_exist(page: Path) -> None:
    missing = [path for path in named(page) if not (ROOT / path).exists()]
    assert missing == [], f"{page.name} names files from the root that are not there: {missing}"


def test_the_lifecycle_names_the_files_of_all_three_engine_families() -> None:
    paths = named(ROOT / "docs" / "lifecycle.md")
    for family in ("executors/jax.py", "executors/host/", "executors/served/"):
        assert any(f"runtime/{family}" in path for path in paths), family
    assert len(paths) > 30


def test_no_page_cites_a_commit() -> None:
    """Hashes of commits age; the laboratory notes have dates."""
    for page in EVERY:
        words = re.findall(r"\b[0-9a-f]{7,40}\b", page.read_text("utf-8"))
        assert [
            word for word in words if re.search("[a-f]", word) and re.search("[0-9]", word)
        ] == []
