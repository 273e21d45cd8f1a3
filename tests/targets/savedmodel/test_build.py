from __future__ import annotations

import dataclasses

import pytest
from tensorflow.core.protobuf import saved_model_pb2

from tandem_export.bundle import SavedModelFacts
from tandem_export.errors import ConfigError
from tandem_export.graphs import plan_graphs
from tandem_export.serving import LocalModel
from tandem_export.targets import SavedModelOptions, ValueMismatchError
from tandem_export.targets.savedmodel.check import check_model
from tandem_export.targets.savedmodel.session.methods import plan_methods
from tandem_export.targets.savedmodel.session.pool import make_pool
from tests.pairs import CONFIGS
from tests.serving.bundles import EVERY_ROLE, ROUNDS, build_tiny, model_folder


@pytest.fixture(scope="module")
def generate_only():
    """`generate` alone, at two batch buckets, for an older server; checked when it is built."""
    options = dataclasses.replace(ROUNDS, roles=("generate", "router"), batch=(1, 2), max_new=4)
    asked = SavedModelOptions(version=7, model="pair", calling_convention=9)
    return build_tiny("generate", options, ("savedmodel",), asked, check_values=True)


def test_the_manifest_says_what_a_server_needs(generate_only) -> None:
    facts, tested = generate_only.savedmodel, generate_only.savedmodel.tested_tensorflow
    assert facts == SavedModelFacts(
        folder="savedmodel/7",
        model="pair",
        version=7,
        slots=8,
        calling_convention_version=9,
        stablehlo_version="1.1.0",
        minimum_tensorflow="2.18",
        tested_tensorflow=tested,
        default="generate_b1_s4",
        signatures=("generate_b1_s4", "generate_b2_s4", "router_b1", "router_b2"),
    )
    graphs = generate_only.manifest.graphs
    assert [g.name for g in graphs if g.difference is not None] == ["router_b1"]
    assert tuple(map(int, tested.split(".")[:2])) >= (2, 18)
    assert generate_only.manifest.not_after["savedmodel"] is not None


def test_other_values_are_found(generate_only) -> None:
    options = dataclasses.replace(ROUNDS, roles=("router",))
    graph = plan_graphs(CONFIGS["tandem"], options)[0]

    def off(params, state, inputs):
        outputs, after = graph.function(params, state, inputs)
        return {"acceptance": outputs["acceptance"] + 1e-4}, after

    folder, weights = model_folder(generate_only), generate_only.weights()
    fine = check_model(folder, [], [graph], weights, scratch=0)
    assert fine.differences["router_b1"] < 1e-6
    text = r"^router_b1: output 'acceptance' must be within .* largest difference 0\.0001"
    with pytest.raises(ValueMismatchError, match=text):
        other = dataclasses.replace(graph, function=off)
        check_model(folder, [], [other], weights, scratch=0)


def test_modules_are_for_the_asked_versions(generate_only) -> None:
    data = (model_folder(generate_only) / "saved_model.pb").read_bytes()
    model = saved_model_pb2.SavedModel.FromString(data)
    calls = [
        node
        for function in model.meta_graphs[0].graph_def.library.function
        for node in function.node_def
        if node.op == "XlaCallModule"
    ]
    assert len(calls) == 4, "one module a signature; serving_default shares its"
    assert {node.attr["version"].i for node in calls} == {9}
    assert all(b"StableHLO_v1.1.0" in node.attr["module"].s[:64] for node in calls)
    assert b"tandem_export/" not in data, "no paths of the machine that built it"


def test_weights_are_stored_once_and_no_state(generate_only) -> None:
    used = {spec.name for graph in generate_only.manifest.graphs for spec in graph.params}
    weights = generate_only.weights()
    size = sum(weights[name].nbytes for name in used)
    variables = model_folder(generate_only) / "variables"
    # A tiny model: the object graph beside the tensors is a few kB whatever their size.
    assert size <= (variables / "variables.data-00000-of-00001").stat().st_size < size + 20_000
    model = LocalModel(model_folder(generate_only))
    assert set(model.signatures) == {
        *generate_only.savedmodel.signatures,
        "serving_default",
    }
    model.close()


def test_steps_need_insert() -> None:
    config, options = CONFIGS["tandem"], dataclasses.replace(EVERY_ROLE, roles=("round",))
    with pytest.raises(ConfigError, match="`roles` must have 'insert' for sessions"):
        plan_methods(plan_graphs(config, options), make_pool(config, options, 8))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"slots": 0}, "`slots` must be at least 1"),
        ({"version": 0}, "`version` must be at least 1"),
        ({"calling_convention": 8}, r"must be one of \[9, 10\]. Got: 8"),
        ({"stablehlo_version": "1.14.0"}, r"at most 1\.13, .* Got: '1\.14\.0'"),
        ({"stablehlo_version": "new"}, r"must be X\.Y\.Z, .* Got: 'new'"),
    ],
    ids=["slots", "version", "convention", "stablehlo", "no-version"],
)
def test_options_check_themselves(options, text) -> None:
    with pytest.raises(ConfigError, match=text):
        SavedModelOptions(**options)


@pytest.mark.parametrize(
    ("convention", "stablehlo", "release"),
    [(9, "1.1.0", "2.18"), (9, "1.9.3", "2.19"), (9, "1.10.0", "2.20"), (10, "1.1.0", "2.20")],
)
def test_the_first_tensorflow_that_runs_it(convention, stablehlo, release) -> None:
    options = SavedModelOptions(calling_convention=convention, stablehlo_version=stablehlo)
    assert options.minimum_tensorflow == release
