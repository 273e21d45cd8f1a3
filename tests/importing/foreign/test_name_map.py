"""Maps of names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem_export.errors import CheckpointError
from tandem_export.importing.foreign.name_map import NameMap, read_name_map


def test_a_layer_of_its_own_name_wins_over_the_pattern() -> None:
    table = {"layers.{j}.ff.up.weight": "h.{j}.up", "layers.1.ff.up.weight": "odd"}
    names = NameMap(names={"drafter": table})
    theirs = [names.theirs("drafter", f"layers.{j}.ff.up.weight") for j in (0, 1, 11)]
    assert theirs == ["h.0.up", "odd", "h.11.up"]
    assert names.theirs("primary", "layers.0.ff.up.weight") == "primary.layers.0.ff.up.weight"


def test_names_that_the_configuration_lacks_are_told() -> None:
    names = NameMap(names={"primary": {"layers.{j}.a": "x", "layers.7.a": "y", "b": "z"}})
    assert names.unknown({"primary": {"layers.0.a", "b"}}) == ["primary: layers.7.a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a =", "must be TOML"),
        ("other = 1", r"must be some of .*'matrices'.* Got: 'other'"),
        ('matrices = "square"', r"`matrices` must be one of .* Got: 'square'"),
        ("rotary = 3", r"`rotary` must be one of .* Got: 3"),
        ("primary = 3", "must be tables of texts"),
        ("[router]\n'out.bias' = 3", "must be tables of texts"),
        ('unused = "x"', r"`unused` must be a list of texts\. Got: 'x'"),
    ],
)
def test_a_map_that_breaks_a_rule(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "names.toml").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_name_map(tmp_path / "names.toml")
