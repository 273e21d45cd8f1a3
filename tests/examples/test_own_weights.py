"""The owner's program, its files, and the page: what an owner does, and what `compare` catches."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tandem_export.checkpoint import read_checkpoint, read_reference
from tandem_export.checkpoint.comparison.compare import compare
from tandem_export.checkpoint.comparison.reference import output_shapes
from tandem_export.config_file import read_config
from tandem_export.errors import CheckpointError
from tandem_export.importing import ImportOptions, import_checkpoint
from tandem_export.importing.foreign.torch_file import read_torch
from tandem_export.model import PARTS, shapes
from tandem_export.parity import NEAR_TIE
from tests.cli.test_commands import run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_weights"
PAGE = (ROOT / "docs" / "how-to" / "own-weights.md").read_text(encoding="utf-8")
OUTPUTS = ["primary.logits", "drafter.logits", "router.acceptance"]


@pytest.fixture
def owner() -> Path:
    """A folder with state.pt, reference.npz and tokenizer.json, as owner.py writes it."""
    return Path(__file__).parent / "goldens"


def state(owner: Path) -> dict[str, np.ndarray]:
    """The arrays of state.pt."""
    return {name: np.array(tensor) for name, tensor in read_torch(owner / "state.pt").items()}


def save(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def edited(name: str, folder: Path, changes: dict[str, str]) -> Path:
    """A file of the example with other text in it."""
    text = (EXAMPLE / name).read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def imported(owner: Path, folder: Path, **given: Any) -> Path:
    """The folder of the checkpoint."""
    options = {
        "primary": str(owner / "state.pt"),
        "config": EXAMPLE / "pair.toml",
        "map_file": EXAMPLE / "names.toml",
        "tokenizer": owner / "tokenizer.json",
        "end_tokens": ("<end>",),
    }
    import_checkpoint(ImportOptions(**options | given), folder / "pair")
    return folder / "pair"


def differing(owner: Path, pair: Path) -> list[str]:
    """The outputs that are not the owner's."""
    checkpoint = read_checkpoint(pair)
    reference = read_reference(owner / "reference.npz", checkpoint.config)
    found = compare(checkpoint, reference, NEAR_TIE["float32"])
    assert [each.output for each in found] == OUTPUTS
    return [each.output for each in found if not each.passed]


def test_import_and_compare_as_the_page_has_them(owner: Path, tmp_path: Path) -> None:
    """With a wrong layer_map, too: everything but `compare` passes."""
    for layers, code in (("[1, 3]", 0), ("[2, 3]", 1)):
        config = edited("pair.toml", tmp_path, {"[1, 3]": layers})
        names = ("--map", EXAMPLE / "names.toml", "--tokenizer", owner / "tokenizer.json")
        options = ("--config", config, *names, "--end-tokens", "<end>", "--overwrite")
        made = run("import", owner / "state.pt", *options, "--out", tmp_path / "pair")
        assert made.exit_code == 0, made.stderr
        assert run("checkpoint", "inspect", tmp_path / "pair").exit_code == 0
        compared = run("checkpoint", "compare", tmp_path / "pair", owner / "reference.npz")
        assert compared.exit_code == code, compared.stdout
        as_json = run("checkpoint", "compare", tmp_path / "pair", owner / "reference.npz", "--json")
        facts = json.loads(as_json.stdout)
        assert facts["passed"] is (code == 0) and as_json.exit_code == code
        assert [each["output"] for each in facts["outputs"]] == OUTPUTS
    assert [each["passed"] for each in facts["outputs"]] == [True, False, False]
    assert "drafter.logits: expected " in compared.stdout and "look at layer_map" in compared.stdout
    assert compared.stdout.splitlines()[-1] == "The outputs are NOT those of the reference."


DRAFTER, ALL = OUTPUTS[1:], OUTPUTS
MISTAKES = {
    "layer map": ({"[1, 3]": "[0, 3]"}, {}, DRAFTER),
    "rope": ({"theta = 10000.0": "theta = 500000.0"}, {}, ALL),
    "norm": ({"ff_size = 48": "ff_size = 48\nnorm_plus_one = true"}, {}, ALL),
    "epsilon": ({"ff_size = 24": "ff_size = 24\nnorm_eps = 1e-2"}, {}, DRAFTER),
    "drafter's rope": ({"ff_size = 24": "ff_size = 24\nrope = { theta = 500000.0 }"}, {}, DRAFTER),
    "rotary pairs": ({}, {'rotary = "interleaved"': 'rotary = "halves"'}, ALL),
    "projections": (
        {},
        {
            '"projection.{j}.weight" = "link.{j}': '"projection.0.weight" = "link.1.weight"\n'
            '"projection.1.weight" = "link.0'
        },
        DRAFTER,
    ),
    "gate and up": (
        {},
        {
            "blocks.{j}.w1": "blocks.{j}.w3",
            'up.weight" = "target.blocks.{j}.w3': 'up.weight" = "target.blocks.{j}.w1',
        },
        ALL,
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_compare_catches_a_mistake_that_import_cannot(
    owner: Path, tmp_path: Path, mistake: str
) -> None:
    config, names, wrong = MISTAKES[mistake]
    pair = imported(
        owner,
        tmp_path,
        config=edited("pair.toml", tmp_path, config),
        map_file=edited("names.toml", tmp_path, names),
    )
    found = differing(owner, pair)
    assert found[:1] == wrong[:1] and set(found) <= set(wrong)


def transposed(arrays: dict) -> None:
    arrays["target.blocks.1.wo.weight"] = arrays["target.blocks.1.wo.weight"].T


def own_rows(arrays: dict) -> None:
    """What the drafter's own rows start from."""
    arrays["draft.tokens.weight"] = np.roll(arrays["draft.tokens.weight"], 1, 0)


def reordered_features(arrays: dict) -> None:
    """The router's probabilities before its entropy."""
    arrays["gate_in.weight"] = np.roll(arrays["gate_in.weight"], 1, 1)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [(transposed, ALL), (own_rows, DRAFTER), (reordered_features, OUTPUTS[2:])],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_compare_catches_other_values(owner: Path, tmp_path: Path, change, wrong) -> None:
    arrays = state(owner)
    change(arrays)
    source = save(tmp_path / "state.npz", arrays)
    assert differing(owner, imported(owner, tmp_path, primary=str(source))) == wrong


def test_a_wrong_top_k_is_refused_by_import(owner: Path, tmp_path: Path) -> None:
    config = edited("pair.toml", tmp_path, {"top_k = 4": "top_k = 3"})
    message = (
        r"tensor `gate_in\.weight`, which is router `hidden\.weight`, must have shape \[32, 52\]"
    )
    with pytest.raises(CheckpointError, match=message):
        imported(owner, tmp_path, config=config)


@pytest.mark.parametrize("kind", ["safetensors", "npz", "folder"])
def test_other_files_give_the_same_checkpoint(owner: Path, tmp_path: Path, kind: str) -> None:
    from safetensors.numpy import save_file

    arrays = state(owner)
    source = tmp_path / f"model.{kind}"
    if kind == "safetensors":
        save_file(arrays, source)
    elif kind == "npz":
        save(source, arrays)
    else:
        source.mkdir()
        names = sorted(arrays)
        save_file({n: arrays[n] for n in names[::2]}, source / "a.safetensors")
        save(source / "b.npz", {n: arrays[n] for n in names[1::2]})
    (tmp_path / "first").mkdir()
    first = read_checkpoint(imported(owner, tmp_path / "first"))
    assert read_checkpoint(imported(owner, tmp_path, primary=str(source))).source == first.source


def test_names_of_the_project_need_no_map(owner: Path, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    first = read_checkpoint(imported(owner, tmp_path / "first"))
    arrays = {f"{p}.{n}": array for p, own in first.params.items() for n, array in own.items()}
    source = save(tmp_path / "own.npz", arrays)
    pair = imported(owner, tmp_path, primary=str(source), map_file=None)
    assert read_checkpoint(pair).source == first.source


def test_missing_and_left_over_tensors_are_named_by_their_own_names(
    owner: Path, tmp_path: Path
) -> None:
    arrays = state(owner)
    arrays["blocks.inv_freq"] = arrays.pop("link.0.weight")
    source = save(tmp_path / "state.npz", arrays)
    message = (
        r"Missing: `link\.0\.weight`\. Not asked for: `blocks\.inv_freq`\. Add them to the map"
    )
    with pytest.raises(CheckpointError, match=message):
        imported(owner, tmp_path, primary=str(source))


FUSED = {"qkv": ("wq", "wk", "wv"), "w13": ("w1", "w3")}


def fused(arrays: dict[str, Any], names: str, *, turned: bool) -> tuple[dict[str, Any], str]:
    """The owner's tensors with q, k, v and gate, up in one each, and the map that cuts them."""
    for model in ("target", "draft"):
        for name, parts in FUSED.items():
            first = 0
            for part in parts:
                size = arrays[f"{model}.blocks.0.{part}.weight"].shape[0]
                cut = f"{name}.weight[{first}:{first + size}]"
                names = names.replace(
                    f"{model}.blocks.{{j}}.{part}.weight", f"{model}.blocks.{{j}}.{cut}"
                )
                first += size
            for j in range(
                sum(f"{model}.blocks." in n and n.endswith(f"{parts[0]}.weight") for n in arrays)
            ):
                pieces = [arrays.pop(f"{model}.blocks.{j}.{part}.weight") for part in parts]
                arrays[f"{model}.blocks.{j}.{name}.weight"] = np.concatenate(pieces)
    if not turned:
        arrays = {n: a.T if a.ndim == 2 and "tokens" not in n else a for n, a in arrays.items()}
        names = names.replace('"out_in"', '"in_out"')
    return arrays, names


@pytest.mark.parametrize("turned", [True, False], ids=["out_in", "in_out"])
def test_fused_tensors_are_cut(owner: Path, tmp_path: Path, turned: bool) -> None:
    arrays, names = fused(state(owner), (EXAMPLE / "names.toml").read_text(), turned=turned)
    (tmp_path / "names.toml").write_text(names)
    source = save(tmp_path / "state.npz", arrays)
    pair = imported(owner, tmp_path, primary=str(source), map_file=tmp_path / "names.toml")
    assert differing(owner, pair) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("w13.weight[{F}:{2F}]", "w13.weight[{F}:{2F-1}]"),
        ("w13.weight[{F}:{2F}]", "w13.weight[{F-1}:{2F-1}]"),
        ("w13.weight[{F}:{2F}]", "w13.weight[{F}:{2F+1}]"),
        ("w13.weight[{F}:{2F}]", "w13.weight"),
    ],
    ids=["one-left", "overlap", "beyond", "whole"],
)
def test_each_output_of_a_fused_tensor_is_taken_once(
    owner: Path, tmp_path: Path, old: str, new: str
) -> None:
    arrays, names = fused(state(owner), (EXAMPLE / "names.toml").read_text(), turned=True)
    both = arrays["target.blocks.0.w13.weight"].shape[0]
    sizes = {"{F}": both // 2, "{F-1}": both // 2 - 1, "{2F}": both, "{2F-1}": both - 1}
    for name, size in (sizes | {"{2F+1}": both + 1}).items():
        old, new = old.replace(name, str(size)), new.replace(name, str(size))
    assert old in names
    (tmp_path / "names.toml").write_text(names.replace(old, new))
    source = save(tmp_path / "state.npz", arrays)
    message = rf"`target\.blocks\.0\.w13\.weight` has {both} outputs, and each must be taken once"
    with pytest.raises(CheckpointError, match=message):
        imported(owner, tmp_path, primary=str(source), map_file=tmp_path / "names.toml")


def test_what_is_rightly_left_out_is(owner: Path, tmp_path: Path) -> None:
    arrays = state(owner) | {"blocks.0.inv_freq": np.ones(4)}
    source = save(tmp_path / "state.npz", arrays)
    names = edited("names.toml", tmp_path, {"unused = []": 'unused = ["*.inv_freq"]'})
    pair = imported(owner, tmp_path, primary=str(source), map_file=names)
    assert differing(owner, pair) == []


def test_the_page_names_tensors_and_arrays_that_exist() -> None:
    config = read_config(EXAMPLE / "pair.toml")
    known = {
        re.sub(r"layers\.\d+|projection\.\d+", lambda m: m[0].split(".")[0] + ".{j}", n)
        for p in PARTS
        for n in shapes(config, p)
    }
    table = PAGE.split("## The tensors")[1].split("## Where")[0]
    named = set(
        re.findall(r"`((?:layers|projection|embedding|final_norm|hidden|out)[\w.{}]*)`", table)
    )
    assert named and named <= known
    short = {f"layers.{{j}}.attention.{x}.weight" for x in "kv"}
    short |= {f"layers.{{j}}.ff.{x}.weight" for x in ("up", "down")}
    assert known - named == short  # `.k.weight` and the like, behind the first of their row
    arrays = PAGE.split("## Comparing")[1]
    assert all(f"`{name}`" in arrays for name in output_shapes(config, 1, 9, 3))
