from __future__ import annotations

import dataclasses
import json
from typing import get_type_hints

import ml_dtypes
import numpy as np
import pytest

from tandem_export.bundle import BuildRecord, describe, open_bundle
from tandem_export.checkpoint import Checkpoint, Vocabulary
from tandem_export.errors import BundleError, CheckpointError, ConfigError
from tandem_export.graphs import BuildOptions, plan_graphs
from tandem_export.model import PARTS
from tandem_export.targets import TARGETS, BuildContext, SavedModelOptions, Target, build
from tests.bundle.sample import snapshot
from tests.tiny import TANDEM, random_params

TOKENIZER = '{"version": "1.0"}'
ONE_STEP = BuildOptions(
    batch=(1,),
    gamma=(1,),
    prompt=(4,),
    cache=16,
    max_new=4,
    roles=("router", "drafter_step"),
    platforms=("cpu", "tpu"),
)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    params = {part: random_params(TANDEM, part) for part in PARTS}
    return Checkpoint(
        config=TANDEM,
        vocabulary=Vocabulary(size=TANDEM.primary.vocab_size, end_tokens=(0, 16)),
        tokenizer_json=TOKENIZER,
        params={p: {n: np.asarray(t) for n, t in own.items()} for p, own in params.items()},
        provenance={"recipe": "random"},
        source={"primary": "a" * 64},
    )


@pytest.fixture(scope="module")
def bundle(checkpoint, tmp_path_factory):
    steps = []
    out = tmp_path_factory.mktemp("build") / "tiny"
    made = build(checkpoint, ONE_STEP, out, progress=lambda *step: steps.append(step))
    assert [done for done, _, _ in steps] == list(range(1, steps[-1][1] + 1))
    return made


def test_every_planned_graph_is_there_and_exact(bundle):
    planned = plan_graphs(TANDEM, ONE_STEP)
    assert [graph.name for graph in bundle.manifest.graphs] == [graph.name for graph in planned]
    assert {graph.difference for graph in bundle.manifest.graphs} == {0.0}


def test_the_manifest_tells_where_the_bundle_comes_from(bundle, checkpoint):
    manifest = bundle.manifest
    assert manifest.name == "tiny"
    assert manifest.model.layer_map == TANDEM.layer_map
    assert manifest.model.primary == TANDEM.primary
    assert (manifest.model.end_tokens, manifest.model.tau) == ((0, 16), 0.5)
    assert manifest.checkpoint.source == checkpoint.source
    assert manifest.checkpoint.provenance == {"recipe": "random"}
    assert manifest.options == recorded(ONE_STEP)
    assert {"jax", "jaxlib", "flax", "numpy", "python", "tandem-export"} == set(manifest.versions)
    assert set(manifest.not_after) == {"jax_export", "stablehlo"}
    assert json.dumps(describe(bundle))


def test_weights_and_tokenizer_are_the_checkpoints(bundle, checkpoint):
    weights = bundle.weights()
    names = {f"{part}.{name}" for part, own in checkpoint.params.items() for name in own}
    assert set(weights) == names
    for name, value in weights.items():
        part, tensor = name.split(".", 1)
        np.testing.assert_array_equal(value, checkpoint.params[part][tensor])
    assert bundle.tokenizer_path.read_text() == TOKENIZER


def test_every_argument_of_a_graph_is_in_the_store(bundle):
    weights = bundle.weights()
    for graph in bundle.manifest.graphs:
        for spec in graph.params:
            assert (weights[spec.name].shape, weights[spec.name].dtype) == (spec.shape, spec.dtype)


def recorded(options: BuildOptions) -> BuildRecord:
    return BuildRecord(**dataclasses.asdict(options))


def test_the_manifest_knows_every_option_of_a_build():
    """By name and type, so that what is added to the one is added to the other."""
    names = [field.name for field in dataclasses.fields(BuildOptions)]
    assert names == [field.name for field in dataclasses.fields(BuildRecord)]
    built, record = get_type_hints(BuildOptions), get_type_hints(BuildRecord)
    assert record | {"roles": None} == built | {"roles": None}


def test_weights_are_cast_to_the_bundles_dtype(checkpoint, tmp_path):
    options = dataclasses.replace(ONE_STEP, dtype="bfloat16", roles=("router",))
    made = build(checkpoint, options, tmp_path / "b")
    assert {value.dtype for value in made.weights().values()} == {np.dtype(ml_dtypes.bfloat16)}
    assert {spec.dtype for spec in made.manifest.graphs[0].params} == {"bfloat16"}


@pytest.mark.parametrize("targets", [("onyx",), (), ("stablehlo", "onyx")], ids=str)
def test_unknown_targets_are_refused(checkpoint, tmp_path, targets):
    with pytest.raises(ConfigError, match=r"`targets` must be some of \[.*'stablehlo'"):
        build(checkpoint, ONE_STEP, tmp_path / "b", targets=targets)


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (
            {"savedmodel": SavedModelOptions()},
            r"targets that are built, \['onnx'\]\. Got: .*'saved",
        ),
        (
            {"onnx": SavedModelOptions()},
            r"\['onnx'\]` must be of NoneType\. Got: SavedModelOptions",
        ),
    ],
    ids=["target", "class"],
)
def test_options_of_another_target_are_refused(checkpoint, tmp_path, given, got):
    with pytest.raises(ConfigError, match=rf"^`target_options.*{got}"):
        build(checkpoint, ONE_STEP, tmp_path / "b", targets=("onnx",), target_options=given)
    assert list(tmp_path.iterdir()) == []


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoteOptions:
    """The options of a target that only this test knows."""

    text: str = "default"


def test_a_new_target_is_a_record_in_the_registry(checkpoint, tmp_path, monkeypatch):
    """It gets everything in its context, and the builder need not know of it."""
    received: list[BuildContext[NoteOptions]] = []

    def write(context: BuildContext[NoteOptions]) -> None:
        received.append(context)
        context.writer.add_file("note.txt", context.target_options.text.encode())
        for number, graph in enumerate(context.graphs):
            context.report(number + 1, graph.name)

    target = Target(write=write, options=NoteOptions, lifetime={"note": 1}, tools=("click",))
    monkeypatch.setitem(TARGETS, "note", target)
    reports: list[tuple[int, int, str]] = []
    options = dataclasses.replace(ONE_STEP, roles=("router", "drafter_step"))
    made = build(
        checkpoint,
        options,
        tmp_path / "b",
        targets=("note",),
        progress=lambda *step: reports.append(step),
        target_options={"note": NoteOptions(text="given")},
    )
    [context] = received
    assert (context.config, context.options) == (checkpoint.config, options)
    names = [graph.name for graph in context.graphs]
    assert names and all(graph.outputs for graph in context.graphs)
    assert reports == [(index + 1, len(names), name) for index, name in enumerate(names)]
    for name, weight in made.weights().items():
        np.testing.assert_array_equal(context.tensors[name], weight)
        assert context.places[name].shape == weight.shape
    assert (made.path / "note.txt").read_text() == "given"
    assert set(made.manifest.not_after) == {"note"} and "click" in made.manifest.versions


def without(checkpoint: Checkpoint, name: str) -> Checkpoint:
    drafter = {key: value for key, value in checkpoint.params["drafter"].items() if key != name}
    return dataclasses.replace(checkpoint, params=checkpoint.params | {"drafter": drafter})


def cut(checkpoint: Checkpoint, name: str) -> Checkpoint:
    drafter = checkpoint.params["drafter"]
    drafter = drafter | {name: drafter[name][1:]}
    return dataclasses.replace(checkpoint, params=checkpoint.params | {"drafter": drafter})


@pytest.mark.parametrize(
    ("spoil", "got"), [(without, "no such tensor"), (cut, r"\(16, 6\)")], ids=["missing", "shape"]
)
def test_a_tensor_that_does_not_fit_stops_the_build(checkpoint, tmp_path, spoil, got):
    broken = spoil(checkpoint, "embedding.weight")
    text = rf"tensor 'drafter.embedding.weight' must have shape \(17, 6\), .* Got: {got}"
    with pytest.raises(CheckpointError, match=text):
        build(broken, ONE_STEP, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_weight_that_is_no_number_stops_the_build(checkpoint, tmp_path):
    rows = np.array(checkpoint.params["drafter"]["embedding.weight"])
    rows[2, 1] = np.nan
    drafter = checkpoint.params["drafter"] | {"embedding.weight": rows}
    broken = dataclasses.replace(checkpoint, params=checkpoint.params | {"drafter": drafter})
    text = r"tensor `drafter.embedding.weight` must be finite in float32. Got: nan at \[2, 1\]"
    with pytest.raises(CheckpointError, match=text):
        build(broken, ONE_STEP, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bundle_needs_overwrite_and_survives_a_failure(checkpoint, tmp_path):
    options = dataclasses.replace(ONE_STEP, roles=("router",))
    build(checkpoint, options, tmp_path / "b")
    before = snapshot(tmp_path)
    with pytest.raises(BundleError, match="Pass `overwrite=True`"):
        build(checkpoint, options, tmp_path / "b")

    def stop(done: int, total: int, name: str) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        build(checkpoint, options, tmp_path / "b", progress=stop, overwrite=True)
    assert snapshot(tmp_path) == before
    build(checkpoint, options, tmp_path / "b", overwrite=True)
    open_bundle(tmp_path / "b")
