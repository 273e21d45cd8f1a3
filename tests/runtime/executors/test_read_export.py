"""Graphs that a bundle lists and that are something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tandem_export.bundle import open_bundle
from tandem_export.errors import BundleError
from tandem_export.runtime.executors.jax import read_export
from tests.fuzz.surfaces import bundles


@pytest.fixture
def material(tmp_path: Path) -> Any:
    return bundles.prepare_export(tmp_path)


def changed(folder: Path, values: dict[str, Any]) -> Any:
    bundles.write(folder / "bundle", json.dumps(values).encode())
    return open_bundle(folder / "bundle", allow_expired=True)


def test_a_real_graph_has_the_arguments_of_the_manifest(tmp_path: Path, material: Any) -> None:
    bundle = changed(tmp_path, material)
    _, args = read_export(bundle, bundle.manifest.graphs[0])
    assert [sorted(part) for part in args] == [["primary.table"], ["position"], ["tokens"]]


def test_other_arguments_than_the_manifests_are_refused(tmp_path: Path, material: Any) -> None:
    for part, change in (("inputs", {"shape": [2]}), ("state", {"dtype": "uint32"})):
        values = json.loads(json.dumps(material))
        values["graphs"][0][part][0] |= change
        bundle = changed(tmp_path, values)
        with pytest.raises(BundleError, match="must have the 3 arguments of the manifest"):
            read_export(bundle, bundle.manifest.graphs[0])


def test_what_jax_export_did_not_make_is_refused(tmp_path: Path, material: Any) -> None:
    name = material["graphs"][0]["files"]["jax_export/cpu"]
    bundles.put(tmp_path / "bundle", material, name, bundles.artifact_of(b"junk"))
    bundle = changed(tmp_path, material)
    with pytest.raises(
        BundleError, match=r"^graph 'round_b1_g1' must be what jax.export makes. Got"
    ):
        read_export(bundle, bundle.manifest.graphs[0])
