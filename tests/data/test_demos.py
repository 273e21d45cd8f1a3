"""Names of the embedded demos."""

from __future__ import annotations

from pathlib import Path

import pytest

import tandem_export.data
from tandem_export.data import demo_path
from tandem_export.errors import CheckpointError

ROOT = Path(tandem_export.data.__file__).parent / "stdlib_mini"


@pytest.mark.parametrize(
    ("name", "file"),
    [("demo:stdlib-mini", "tandem.json"), ("demo:stdlib-mini-independent", "independent.json")],
    ids=["tandem", "independent"],
)
def test_demo_path(name, file):
    assert demo_path(name) == ROOT / file


@pytest.mark.parametrize("name", ["demo:other", "demo:", "demo:../../etc"])
def test_unknown_demo_lists_the_known(name):
    with pytest.raises(CheckpointError, match=r"there are: demo:stdlib-mini, demo:stdlib-mini-ind"):
        demo_path(name)
