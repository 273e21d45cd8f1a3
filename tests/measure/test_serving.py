from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from tandem_export.cli import main
from tandem_export.errors import BundleError
from tandem_export.measure.process.first_call import measure_first_call
from tests.serving.bundles import every_role, model_folder, rounds_only


def test_the_command_measures_both_engines_all_wires_and_the_sizes(tmp_path) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text("[[1, 2, 3]]")
    arguments = ["bench-serving", str(every_role().path), "--no-startup", "--repetitions", "1"]
    arguments += ["--prompts-file", str(prompts)]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["graph"] == "generate_b2_s4"
    seconds = found["generate_seconds"]
    assert found["generate_ratio"] == pytest.approx(seconds["tensorflow"] / seconds["jax"])
    assert set(found["round_seconds"]) == {"none", "grpc", "rest"}
    assert min(*seconds.values(), *found["round_seconds"].values(), found["load_seconds"]) > 0
    model = (model_folder(every_role()) / "saved_model.pb").stat().st_size
    assert found["bytes"]["model"] == model
    assert 0 < found["bytes"]["weights"] <= found["bytes"]["variables"]


def test_a_bundle_without_stablehlo_cannot_be_compared() -> None:
    result = CliRunner().invoke(main, ["bench-serving", str(rounds_only().path), "--no-startup"])
    assert result.exit_code == 2
    assert "jax_export" in result.output


def test_a_first_call_of_a_new_process() -> None:
    found = measure_first_call(model_folder(rounds_only()), "claim")
    assert set(found) == {"cold", "warm"}
    assert min(found.values()) > 0
    with pytest.raises(BundleError, match="no_such"):
        measure_first_call(model_folder(rounds_only()), "no_such")
