"""docs/reference/checkpoint.md: its example runs, its table is what the model asks for."""

from __future__ import annotations

import re
from pathlib import Path

from tandem_export.config import DecoderConfig, RouterConfig, TandemConfig
from tandem_export.model import PARTS, shapes

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "checkpoint.md").read_text(
    encoding="utf-8"
)
# Every size is another number, so that no axis can stand in for another.
AXES = {
    "V_primary": 101,
    "N": 3,
    "K": 1,
    "H": 2,
    "F": 7,
    "D_primary": 11,
    "E": 1 + 4 + 4 * 13,
    "R": 5,
}
WIDTHS = {"primary": 11, "drafter": 13, "router": 13}
VOCABULARIES = {"primary": 101, "drafter": 97, "router": 97}


def _decoder(width: int, vocab_size: int) -> DecoderConfig:
    return DecoderConfig(
        vocab_size=vocab_size,
        num_layers=1,
        width=width,
        num_heads=3,
        num_kv_heads=1,
        head_size=2,
        ff_size=7,
        post_norms=True,
        qk_norm=True,
        tied_embedding=False,
        qkv_bias=True,
        output_bias=True,
        ff_bias=True,
    )


def _documented(part: str) -> dict[str, tuple[int, ...]]:
    rows = re.findall(r"^\| `([\w.{}]+)` \| `\[(.*?)\]`", TEXT, re.MULTILINE)
    sizes = AXES | {"D": WIDTHS[part], "V": VOCABULARIES[part]}
    return {name.replace("{j}", "0"): _shape(axes, sizes) for name, axes in rows}


def _shape(axes: str, sizes: dict[str, int]) -> tuple[int, ...]:
    product = re.compile(r"^(\w+) \* (\w+)$")
    numbers = sizes | {"1": 1}
    factors = [
        (m.groups() if (m := product.match(axis)) else (axis, "1")) for axis in axes.split(", ")
    ]
    return tuple(numbers[a] * numbers[b] for a, b in factors)


def test_the_tables_are_the_model():
    config = TandemConfig(
        primary=_decoder(11, 101),
        drafter=_decoder(13, 97),
        layer_map=(1,),
        router=RouterConfig(top_k=4, hidden_size=5),
    )
    seen = set()
    for part in PARTS:
        expected, documented = shapes(config, part), _documented(part)
        assert expected.items() <= documented.items()
        seen |= set(expected)
    assert seen == set(_documented("drafter"))


def test_the_example_runs(tmp_path: Path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/reference/checkpoint.md", "exec"), {})
    assert (tmp_path / "pair" / "tandem.json").is_file()
