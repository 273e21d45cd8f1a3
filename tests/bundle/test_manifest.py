from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from tandem_export.bundle import (
    FORMAT_VERSION,
    FileRecord,
    Manifest,
    SavedModelFacts,
    TargetFacts,
    Tuning,
    parse_manifest,
)
from tandem_export.bundle.manifest import READ_VERSIONS
from tandem_export.errors import BundleError
from tests.bundle import sample

SERVED = SavedModelFacts(
    folder="savedmodel/1",
    model="tandem",
    version=1,
    slots=8,
    calling_convention_version=10,
    stablehlo_version="1.1.0",
    minimum_tensorflow="2.20",
    tested_tensorflow="2.21.0",
    default=None,
    signatures=("round_b1_g1",),
)


def whole() -> Manifest:
    """A manifest with something in every field."""
    graphs = [dataclasses.replace(g, files={"stablehlo": f"s/{g.name}"}) for g in sample.GRAPHS]
    return sample.manifest(
        graphs=tuple(graphs),
        files={"tokenizer.json": FileRecord(sha256="a" * 64, bytes=2)},
        not_after={"jax_export": "2026-08-30", "stablehlo": None},
        tuning=Tuning(
            compiler_options={"tpu": {"round_b1_g1": {"xla_flag": True}}},
            compile={"seconds": 1.5, "graphs": [1]},
        ),
        targets=TargetFacts(savedmodel=SERVED),
    )


def test_json_round_trip_gives_an_equal_record():
    made = whole()
    assert parse_manifest(made.to_json()) == made


def test_json_does_not_depend_on_the_order_of_keys():
    made = whole()
    turned = dataclasses.replace(made, versions=dict(reversed(made.versions.items())))
    assert turned.to_json() == made.to_json()


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 0, "1", None], ids=str)
def test_another_format_version_is_named_before_anything_else(version):
    text = rf"`format_version` must be one of {re.escape(str(READ_VERSIONS))}\. Got: {version!r}"
    with pytest.raises(BundleError, match=text):
        parse_manifest(json.dumps({"format_version": version, "brand": "new"}).encode())


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe\x00", b"[1]"], ids=["cut", "not-utf8", "list"])
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(BundleError):
        parse_manifest(data)


def test_fields_of_a_newer_release_are_left_out_where_records_are_open():
    values = json.loads(whole().to_json())
    for place in (
        "options",
        "tuning",
        "targets.savedmodel",
        "targets",
        "model.primary",
        "model.drafter.rope",
    ):
        put(f"{place}.from_the_future", {"any": 1})(values)
    values["calibration"] = {}  # of formats 1 and 2
    assert parse_manifest(json.dumps(values).encode()) == whole()


def test_options_that_earlier_releases_do_not_name_are_what_they_did():
    values = json.loads(whole().to_json())
    for name in ("quantize", "least_rows", "generate_gamma", "roles"):
        del values["options"][name]
    del values["targets"]
    manifest = parse_manifest(json.dumps(values).encode())
    options = manifest.options
    assert (options.quantize, options.least_rows) == ("none", 1)
    assert (options.generate_gamma, options.roles) == (None, ())
    assert manifest.targets == TargetFacts()


def test_a_configuration_that_breaks_a_rule_is_named():
    values = json.loads(whole().to_json())
    values["model"]["drafter"]["head_size"] = 3
    text = r"^manifest\.json, at \$\.model: `head_size` must be even \(rotary embedding\)\. Got: 3$"
    with pytest.raises(BundleError, match=text):
        parse_manifest(json.dumps(values).encode())


def put(place: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        *path, last = place.split(".")
        inner: Any = values
        for key in path:
            inner = inner[int(key)] if isinstance(inner, list) else inner[key]
        inner[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (put("created", "yesterday"), "$.created"),
        (put("extra", 1), "$"),
        (lambda values: values.pop("graphs"), "$"),
        (put("options.batch", [0]), "$.options.batch[0]"),
        (put("options.dtype", "float64"), "$.options.dtype"),
        (put("options.least_rows", 3), "$.options.least_rows"),
        (put("options.roles", "round"), "$.options.roles"),
        (put("targets.savedmodel.slots", 0), "$.targets.savedmodel.slots"),
        (put("tuning.compiler_options", {"tpu": {"round_b1_g1": 3}}), "$.tuning.compiler_options."),
        (put("model.primary.rope", None), "$.model.primary.rope"),
        (put("model.primary.num_layers", "3"), "$.model"),
        (put("model.layer_map", [9, 9]), "$.model"),
        (put("model.kind", "trio"), "$.model.kind"),
        (put("model.tau", 1.5), "$.model.tau"),
        (put("not_after.jax_export", "soon"), "$.not_after.jax_export"),
        (put("graphs.0.parity", "P9"), "$.graphs[0].parity"),
        (put("graphs.0.name", "../up"), "$.graphs[0].name"),
        (put("graphs.0.stablehlo_version", "latest"), "$.graphs[0].stablehlo_version"),
        (put("files", {"a": {"sha256": "A" * 64, "bytes": 1}}), "$.files.a.sha256"),
        (put("files", {"a": {"sha256": "a" * 64, "bytes": -1}}), "$.files.a.bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_schema_error_names_the_place(change, place):
    values = json.loads(whole().to_json())
    change(values)
    with pytest.raises(BundleError) as caught:
        parse_manifest(json.dumps(values).encode())
    assert f"at {place}" in str(caught.value)


@pytest.mark.parametrize(
    ("today", "parts"),
    [("2026-08-30", []), ("2026-08-31", ["jax_export"])],
    ids=["last-day", "day-after"],
)
def test_a_part_expires_after_its_last_day(today, parts):
    assert whole().expired(date.fromisoformat(today)) == parts
