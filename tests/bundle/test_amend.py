"""Findings that are added to a finished bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tandem_export.bundle import Tuning, open_bundle
from tandem_export.bundle.amend import add_tuning
from tandem_export.errors import BundleError
from tests.bundle import sample
from tests.parity.bundles import shared_bundle


def test_a_section_is_added_and_replaced(tmp_path: Path) -> None:
    shutil.copytree(shared_bundle(), tmp_path / "bundle")
    before = open_bundle(tmp_path / "bundle")
    options = {"tpu": {"round_b1_g1": {"xla_flag": True}}}
    once = add_tuning(before, compile={"a": 1})
    assert add_tuning(once, compiler_options=options).manifest.tuning.compile == {"a": 1}
    add_tuning(open_bundle(tmp_path / "bundle"), compile={"a": 3})
    after = open_bundle(tmp_path / "bundle")
    assert after.manifest.tuning == Tuning(compile={"a": 3}, compiler_options=options)
    assert after.manifest.graphs == before.manifest.graphs
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_a_newer_release_wrote_stays(tmp_path: Path) -> None:
    path = sample.write(tmp_path / "bundle")
    sample.edit(path, lambda values: values["tuning"].update(costs={"a": 1}))
    sample.edit(path, lambda values: values["options"].update(speed="high"))
    add_tuning(open_bundle(path), compile={"b": 2})
    values = json.loads((path / "manifest.json").read_bytes())
    assert values["tuning"] == {"costs": {"a": 1}, "compile": {"b": 2}}
    assert values["options"]["speed"] == "high"


def test_a_bundle_of_one_form_is_not_cut_down_to_it(tmp_path: Path) -> None:
    shutil.copytree(shared_bundle(), tmp_path / "bundle")
    whole = open_bundle(tmp_path / "bundle")
    add_tuning(whole.in_form("stablehlo"), compile={})
    assert open_bundle(tmp_path / "bundle").manifest.graphs == whole.manifest.graphs


def test_findings_that_break_the_schema_change_nothing(tmp_path: Path) -> None:
    path = sample.write(tmp_path / "bundle")
    before = sample.snapshot(path)
    with pytest.raises(BundleError, match=r"at \$\.tuning\.compiler_options"):
        add_tuning(open_bundle(path), compiler_options={"tpu": {"round_b1_g1": 3}})
    assert sample.snapshot(path) == before
