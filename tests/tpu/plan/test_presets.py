"""Pairs from TOML files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem_export.errors import ConfigError
from tandem_export.tpu.plan import read_pair

TINY = """
kind = "{kind}"
[primary]
vocab_size = 17
num_layers = 4
width = 12
num_heads = 4
num_kv_heads = 2
head_size = 4
ff_size = 20
[drafter]
vocab_size = 17
num_layers = 2
width = 6
num_heads = 2
num_kv_heads = 1
head_size = 4
ff_size = 10
"""


def write(folder: Path, text: str) -> str:
    file = folder / "pair.toml"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(("kind", "layers"), [("tandem", (2, 4)), ("independent", ())])
def test_a_file_of_configs(tmp_path: Path, kind: str, layers: tuple[int, ...]) -> None:
    pair = read_pair(write(tmp_path, TINY.format(kind=kind)))
    assert pair.layer_map == layers and pair.router is None


def test_mistakes_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be TOML\. Got: "):
        read_pair(write(tmp_path, "kind ="))
    with pytest.raises(ConfigError, match=r"unknown key 'width_' in `.*pair\.toml\.primary`"):
        read_pair(write(tmp_path, TINY.format(kind="tandem").replace("width", "width_", 1)))
    with pytest.raises(ConfigError, match=r"a preset .270m, 2b, 8b., a TOML file"):
        read_pair(str(tmp_path / "none.toml"))
