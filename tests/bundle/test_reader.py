from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tandem_export.bundle import open_bundle
from tandem_export.errors import BundleError
from tests.bundle import sample

FILES = (
    "manifest.json",
    "manifest.sha256",
    "tokenizer.json",
    "weights.safetensors",
    *(f"jax_export/{p}/{graph.name}.bin" for graph in sample.GRAPHS for p in ("cpu", "tpu")),
    *(f"stablehlo/{p}/{graph.name}.mlirbc" for graph in sample.GRAPHS for p in ("cpu", "tpu")),
)


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_the_sample_opens_and_these_are_all_its_files(tmp_path):
    bundle = open_bundle(sample.write(tmp_path / "b"))
    assert set(sample.snapshot(tmp_path / "b")) == set(FILES)
    assert bundle.tokenizer_path.read_bytes() == b"{}"
    assert {name: value.tolist() for name, value in bundle.weights().items()} == {
        name: value.tolist() for name, value in sample.WEIGHTS.items()
    }


@pytest.mark.parametrize("at", [0, -1], ids=["first-byte", "last-byte"])
@pytest.mark.parametrize("name", FILES)
def test_one_flipped_byte_in_any_file_is_found(tmp_path, name, at):
    path = sample.write(tmp_path / "b")
    flip(path / name, at)
    with pytest.raises(BundleError, match="damaged") as caught:
        open_bundle(path)
    assert Path(name).name in str(caught.value)


def test_without_hashes_sizes_are_still_compared(tmp_path):
    path = sample.write(tmp_path / "b")
    flip(path / "tokenizer.json")
    open_bundle(path, verify_hashes=False)
    (path / "tokenizer.json").write_bytes(b"{ }")
    with pytest.raises(BundleError, match=r"'tokenizer.json' must have 2 bytes\. Got: 3"):
        open_bundle(path, verify_hashes=False)


def escape(path: Path) -> None:
    (path.parent / "outside").write_bytes(b"{}")
    record = {"sha256": "0" * 64, "bytes": 2}
    sample.edit(path, lambda values: values["files"].update({"../outside": record}))


def escape_by_graph(path: Path) -> None:
    sample.edit(path, lambda values: values["graphs"][0]["files"].update(stablehlo="../outside"))


def link_file(path: Path) -> None:
    outside = path.parent / "outside"
    (path / "tokenizer.json").rename(outside)
    (path / "tokenizer.json").symlink_to(outside)


def link_folder(path: Path) -> None:
    (path / "stablehlo").rename(path.parent / "outside")
    (path / "stablehlo").symlink_to(path.parent / "outside")


def link_manifest(path: Path) -> None:
    (path / "manifest.json").rename(path.parent / "outside")
    (path / "manifest.json").symlink_to(path.parent / "outside")


def extra(path: Path) -> None:
    (path / "stablehlo" / "notes.txt").write_text("hello")


def code(path: Path) -> None:
    (path / "setup.py").write_text("print('hello')")


def listed_pickle(path: Path) -> None:
    (path / "w.pkl").write_bytes(b"{}")
    digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    record = {"sha256": digest, "bytes": 2}
    sample.edit(path, lambda values: values["files"].update({"w.pkl": record}))


def missing(path: Path) -> None:
    (path / "tokenizer.json").unlink()


def unlisted_tokenizer(path: Path) -> None:
    sample.edit(path, lambda values: values["files"].pop("tokenizer.json"))


def listed_fifo(path: Path) -> None:
    os.mkfifo(path / "pipe")
    record = {"sha256": "0" * 64, "bytes": 0}
    sample.edit(path, lambda values: values["files"].update(pipe=record))


def other_parameter(path: Path) -> None:
    sample.edit(path, lambda values: values["graphs"][1]["params"][0].update(name="primary.no"))


def other_shape(path: Path) -> None:
    sample.edit(path, lambda values: values["graphs"][1]["params"][0].update(shape=[3, 4]))


def other_dtype(path: Path) -> None:
    sample.edit(path, lambda values: values["graphs"][3]["params"][0].update(dtype="bfloat16"))


def replaced(path: Path, name: str, data: bytes) -> None:
    (path / name).write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    sample.edit(path, lambda values: values["files"].update({name: entry}))


def other_weights(path: Path) -> None:
    replaced(path, "weights.safetensors", b"\x02\0\0\0\0\0\0\0{]")


def deep(path: Path) -> None:
    nested: list[object] = []
    for _ in range(100):
        nested = [nested]
    sample.edit(path, lambda values: values["checkpoint"]["provenance"].update(x=nested))


def no_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()


def no_digest(path: Path) -> None:
    (path / "manifest.sha256").unlink()


def other_version(path: Path) -> None:
    sample.edit(path, lambda values: values.update(format_version=9))


def system_file(path: Path) -> None:
    (path / "stablehlo" / ".DS_Store").write_bytes(b"\0")


def other_schema(path: Path) -> None:
    sample.edit(path, lambda values: values.update(extra=1))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (escape, r"a path in a bundle must be a relative path .* Got: '\.\./outside'"),
        (escape_by_graph, r"'\.\./outside' is used but not listed"),
        (link_file, r"holds no links\. Got: 'tokenizer\.json'"),
        (link_folder, r"holds no links\. Got: 'stablehlo'"),
        (link_manifest, r"is not a bundle: it has no file 'manifest\.json'"),
        (extra, r"file 'stablehlo/notes\.txt' is not listed in manifest\.json"),
        (system_file, r"'stablehlo/\.DS_Store' is a file that macOS or Windows puts .* Remove it"),
        (code, r"holds no code.* Got: 'setup\.py'"),
        (listed_pickle, r"holds no code.* Got: 'w\.pkl'"),
        (missing, r"file 'tokenizer\.json' is missing"),
        (unlisted_tokenizer, r"'tokenizer\.json' is used but not listed"),
        (listed_fifo, r"a bundle holds regular files only\. Got: 'pipe'\. Remove it\."),
        (
            other_parameter,
            r"graph 'round_b1_g3': parameter 'primary\.no' must be float32\[4, 3\] in weights\."
            r"safetensors\. Got: none of that name\. Rebuild",
        ),
        (
            other_shape,
            r"parameter 'primary\.table' must be float32\[3, 4\] .* Got: float32\[4, 3\]",
        ),
        (
            other_dtype,
            r"graph 'router_b1': parameter .* must be bfloat16\[4, 3\] .*float32\[4, 3\]",
        ),
        (other_weights, r"`weights\.safetensors, header`: not a JSON document"),
        (deep, r"`manifest\.json`: not a JSON document: lists and objects are more than 64 deep"),
        (no_manifest, r"is not a bundle: it has no file 'manifest\.json'"),
        (no_digest, r"is not a bundle: it has no file 'manifest\.sha256'"),
        (other_version, r"`format_version` must be one of \(1, 2, 3\)\. Got: 9"),
        (other_schema, r"manifest\.json, at \$: "),
    ],
)
@pytest.mark.parametrize("verify_hashes", [True, False], ids=["hashes", "sizes"])
def test_each_kind_of_damage_has_its_message(tmp_path, spoil, text, verify_hashes):
    path = sample.write(tmp_path / "b")
    spoil(path)
    with pytest.raises(BundleError, match=text):
        open_bundle(path, verify_hashes=verify_hashes)


def test_a_path_that_does_not_exist_is_not_a_bundle(tmp_path):
    with pytest.raises(BundleError, match="is not a bundle"):
        open_bundle(tmp_path / "nowhere")


def test_a_bundle_expires_part_by_part(tmp_path):
    ends = {"jax_export": "2026-08-30", "stablehlo": "2031-03-01"}
    path = sample.write(tmp_path / "b", not_after=ends)
    open_bundle(path, today=date(2026, 8, 30))
    text = r"expired: `jax_export` on 2026-08-30; today is 2026-08-31\. Rebuild .* jaxlib 0\.10\.2"
    with pytest.raises(BundleError, match=text):
        open_bundle(path, today=date(2026, 8, 31))
    with pytest.raises(BundleError, match="`jax_export` on 2026-08-30, `stablehlo` on 2031-03-01"):
        open_bundle(path, today=date(2040, 1, 1))
    open_bundle(path, today=date(2040, 1, 1), allow_expired=True)


def test_the_current_date_counts_by_default(tmp_path):
    with pytest.raises(BundleError, match="expired"):
        open_bundle(sample.write(tmp_path / "b", not_after={"jax_export": "2000-01-01"}))


def test_graph_bytes_gives_both_forms(tmp_path):
    bundle = open_bundle(sample.write(tmp_path / "b"))
    assert bundle.graph_bytes("router_b1", "jax_export/cpu") == sample.EXPORT
    assert bundle.graph_bytes("router_b1", "stablehlo/tpu") == sample.MODULE


def test_a_form_has_its_own_graphs(tmp_path):
    bundle = open_bundle(sample.write(tmp_path / "b"))
    assert bundle.in_form("stablehlo").manifest.graphs == bundle.manifest.graphs
    with pytest.raises(BundleError, match=r"no 'onnx' graphs; it has: \['jax_export', 'stable"):
        bundle.in_form("onnx")


def test_tensors_can_be_replaced(tmp_path):
    bundle = open_bundle(sample.write(tmp_path / "b"))
    zeros = {"drafter.norm": np.zeros(3, np.float32)}
    own, other = bundle.weights(), dataclasses.replace(bundle, replaced=zeros).weights()
    assert not other["drafter.norm"].any()
    np.testing.assert_array_equal(other["primary.table"], own["primary.table"])


def test_a_chat_template_that_is_no_text_is_named(tmp_path):
    replaced(sample.write(tmp_path / "b"), "chat_template.jinja", b"\xff")
    with pytest.raises(BundleError, match=r"^`chat_template\.jinja`: not UTF-8 text"):
        _ = open_bundle(tmp_path / "b").chat_template


def test_find_takes_a_bucket(tmp_path):
    bundle = open_bundle(sample.write(tmp_path / "b"))
    assert bundle.find("round", batch=4).name == "round_b4_g3"
    assert bundle.find("round", batch=1, gamma=3, width=4) == bundle.graph("round_b1_g3")
    assert bundle.find("router").name == "router_b1"


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda b: b.graph("round_b9_g9"), r"no graph 'round_b9_g9' .*'round_b1_g1'.*'router_b1'"),
        (
            lambda b: b.graph_bytes("router_b1", "onnx"),
            r"no form 'onnx'; it has: \['jax_export/cpu'",
        ),
        (
            lambda b: b.find("round", batch=2, gamma=3),
            r"`round` batch=2 gamma=3 must name one graph\. Got: 0\. .*round_b4_g3 \(batch=4 ",
        ),
        (lambda b: b.find("round", batch=1), r"batch=1 must name one graph\. Got: 2"),
        (lambda b: b.find("generate"), r"Roles built: \['round', 'router'\]"),
    ],
    ids=["graph", "form", "bucket", "ambiguous", "role"],
)
def test_what_is_missing_is_listed_beside_what_exists(tmp_path, ask: Callable, text):
    bundle = open_bundle(sample.write(tmp_path / "b"))
    with pytest.raises(BundleError, match=text):
        ask(bundle)


def test_reading_a_bundle_loads_no_engine():
    code = "import sys, tandem_export.bundle; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"jax", "jaxlib", "flax", "orbax", "optax"}


def test_a_bundle_without_a_savedmodel_says_so(tmp_path):
    bundle = open_bundle(sample.write(tmp_path / "b"))
    text = r"must state its SavedModel\. Got: parts \['jax_export', 'stablehlo'\]\. Build it with"
    with pytest.raises(BundleError, match=text):
        _ = bundle.savedmodel
