"""Findings that are added to a finished bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

from tandem_export.bundle import open_bundle
from tandem_export.bundle.amend import add_tuning
from tests.parity.bundles import shared_bundle


def test_a_section_is_added_and_replaced(tmp_path: Path) -> None:
    shutil.copytree(shared_bundle(), tmp_path / "bundle")
    before = open_bundle(tmp_path / "bundle")
    add_tuning(add_tuning(before, "one", {"a": 1}), "two", {"b": [2]})
    add_tuning(open_bundle(tmp_path / "bundle"), "one", {"a": 3})
    after = open_bundle(tmp_path / "bundle")
    assert after.manifest.tuning == {"one": {"a": 3}, "two": {"b": [2]}}
    assert after.manifest.graphs == before.manifest.graphs
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
