"""The card of a bundle, and the licence of the weights that come with the package."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import pytest
from hatchling.build import build_wheel

from tandem_export.bundle import CheckpointRecord
from tandem_export.targets.card import bundle_card
from tests.bundle import sample

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "tandem_export" / "data" / "stdlib_mini"


def card(parity: set[str], **provenance: object) -> str:
    stated = sample.manifest(
        name="pair",
        checkpoint=CheckpointRecord(source={"primary": "ab" * 32}, provenance=provenance),
        not_after={"stablehlo": "2026-07-01", "onnx": None},
    )
    model = dataclasses.replace(stated.model, vocab_size=1024)
    return bundle_card(
        dataclasses.replace(stated, model=model), parity, {"primary": 12_345, "drafter": 678}
    )


def test_it_says_what_the_checkpoint_says() -> None:
    text = card({"P0", "P1"}, licence="Apache-2.0", measures={"x": 1}, data="mine")
    assert text.startswith("# pair\n\nA tandem pair")
    assert "Parameters: primary 12,345, drafter 678." in text
    assert "as the checkpoint states it: Apache-2.0." in text
    assert "* P0, exact: " in text and "* P1, numeric: " in text
    assert "Usable until: onnx: no end, stablehlo: 2026-07-01." in text
    assert "Measured by the checkpoint's maker" in text and '"data": "mine"' in text
    assert f"* primary: sha256 `{'ab' * 32}`" in text


def test_it_makes_nothing_up() -> None:
    text = card({"P1"}, text="```\n# injected")
    assert "The checkpoint states none." in text and "Not stated by the checkpoint." in text
    assert "P0, exact" not in text and text.count("```") == 2


@pytest.mark.parametrize("name", ["tandem.json", "independent.json"])
def test_the_demos_state_their_licence(name: str) -> None:
    provenance = json.loads((DEMO / name).read_text())["provenance"]
    assert provenance["licence"].startswith("Apache-2.0; trained on")


def test_the_licence_of_the_weights_is_in_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with zipfile.ZipFile(tmp_path / build_wheel(str(tmp_path))) as wheel:
        names = wheel.namelist()
        own = "licenses/tandem_export/data/stdlib_mini/LICENSE.md"
        [licence] = [name for name in names if name.endswith(own)]
        text = wheel.read(licence).decode()
    assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in text and "Apache License 2.0" in text
    assert "tandem_export/data/stdlib_mini/LICENSE.md" in names
